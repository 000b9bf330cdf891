"""Networks of timm, torchvision and user code as backbones: how their forward pass is traced and split into stages."""
