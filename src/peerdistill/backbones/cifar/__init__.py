"""Network families for 32 x 32 images, one file each. :mod:`peerdistill.backbones.catalog` finds them here."""
