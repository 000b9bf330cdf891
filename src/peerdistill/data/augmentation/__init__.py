"""Random augmentation of training images: crops, colours and shapes of single images, erasing and mixing in batches."""

from dataclasses import dataclass, field, fields

from peerdistill.data.config import DataConfig, MixConfig, PixelAugmentation


@dataclass(frozen=True)
class Augmentation:
    """Augmentation of training images; fields as in `peerdistill.data.DataConfig`."""

    crop_padding: int = 4
    flip: bool = True
    min_scale: float = 0.08
    augment: PixelAugmentation = "none"
    color_jitter: float = 0.0
    erasing: float = 0.0
    mix: MixConfig = field(default_factory=MixConfig)

    @property
    def changes_pixels(self) -> bool:
        """Whether colours and shapes of images are changed, see :mod:`peerdistill.data.augmentation.pixels`."""
        return self.augment != "none" or self.color_jitter > 0

    @classmethod
    def of(cls, config: DataConfig) -> "Augmentation":
        """Return the augmentation that data options describe."""
        return cls(**{field.name: getattr(config, field.name) for field in fields(cls)})
