"""What all networks of the zoo have in common."""

from torch import Tensor, nn


class ImageNetwork(nn.Module):
    """A network that computes feature maps (B, C, h, w) of images, then logits (B, K) from them."""

    def forward_features(self, x: Tensor) -> Tensor:
        """The last feature maps before pooling, (B, C, h, w), of normalized images (B, c, H, W)."""
        raise NotImplementedError

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits (B, K) from the maps of `forward_features`."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K) of images."""
        return self.forward_head(self.forward_features(x))
