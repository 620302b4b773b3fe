"""The layers that are timed: geometry, work and compulsory traffic of each."""

from dataclasses import dataclass, replace
from math import prod

Shape = tuple[int, int, int, int]

#: Passes of a layer; "backward" is the three gradients together.
PASSES = ("forward", "backward")


@dataclass(frozen=True)
class Layer:
    """One convolution: `batch` images of `channels` planes to `filters` planes each."""

    name: str
    batch: int
    channels: int
    height: int
    width: int
    filters: int
    kernel: tuple[int, int]
    stride: int = 1
    padding: tuple[int, int] = (0, 0)
    groups: int = 1

    @property
    def input_shape(self) -> Shape:
        """(N, C, H, W)."""
        return self.batch, self.channels, self.height, self.width

    @property
    def weight_shape(self) -> Shape:
        """(K, C / groups, R, S)."""
        return self.filters, self.channels // self.groups, *self.kernel

    @property
    def output_shape(self) -> Shape:
        """(N, K, OH, OW)."""
        sizes = zip((self.height, self.width), self.kernel, self.padding, strict=True)
        rows, columns = ((size + 2 * pad - tap) // self.stride + 1 for size, tap, pad in sizes)
        return self.batch, self.filters, rows, columns

    def flops(self, which: str) -> int:
        """Operations of the plain sum, padding counted; each of two gradients costs one forward."""
        forward = 2 * prod(self.output_shape) * prod(self.weight_shape[1:])
        return forward if which == "forward" else 2 * forward

    def traffic(self, which: str, itemsize: int) -> int:
        """Bytes that any implementation must move: each array once."""
        image, weight, output = map(prod, (self.input_shape, self.weight_shape, self.output_shape))
        elements = image + weight + output
        if which == "backward":
            elements += image + weight + self.filters
        return elements * itemsize

    def text(self) -> str:
        """The geometry in one line: N,C,H,W -> K, kernel, and what is not the default."""
        parts = [",".join(map(str, self.input_shape)) + f" → {self.filters}"]
        parts.append("{}×{}".format(*self.kernel))
        if self.stride != 1:
            parts.append(f"s{self.stride}")
        if any(self.padding):
            rows, columns = self.padding
            parts.append(f"p{rows}" if rows == columns else f"p{rows},{columns}")
        if self.groups != 1:
            parts.append(f"g{self.groups}")
        return " ".join(parts)

    def cut_to_fit(self, itemsize: int, limit: int) -> "Layer":
        """Halve the batch until its columns (C * R * S * OH * OW values an image) fit in `limit`.

        Peers without a convolution for a dtype write the columns of the whole batch out.
        """
        layer = self
        while layer.batch > 1 and layer.columns_size() * itemsize > limit:
            layer = replace(layer, batch=layer.batch // 2)
        return layer

    def columns_size(self) -> int:
        """Elements of im2col's result for the batch."""
        _, _, rows, columns = self.output_shape
        return self.batch * self.channels * prod(self.kernel) * rows * columns


def _layer(
    name: str,
    image: Shape,
    filters: int,
    kernel: int | tuple[int, int],
    *,
    stride: int = 1,
    padding: int | None = None,
    groups: int = 1,
) -> Layer:
    """Return a layer; `padding` is by default that which keeps the size at stride 1."""
    taps = (kernel, kernel) if isinstance(kernel, int) else kernel
    pads = (taps[0] // 2, taps[1] // 2) if padding is None else (padding, padding)
    return Layer(name, *image, filters, taps, stride, pads, groups)


#: The classic layers of the course's networks and of VGG, GoogLeNet and ResNet.
FACTS = (
    _layer("lenet.c1", (64, 1, 28, 28), 6, 5),
    _layer("lenet.c2", (64, 6, 14, 14), 16, 5, padding=0),
    _layer("deepconv.c1", (64, 1, 28, 28), 16, 3),
    _layer("deepconv.c3", (64, 16, 14, 14), 32, 3),
    _layer("alex.c1", (16, 3, 224, 224), 64, 11, stride=4, padding=2),
    _layer("alex.c2", (16, 64, 27, 27), 192, 5),
    _layer("alex.c3", (16, 192, 13, 13), 384, 3),
    _layer("vgg.1_1", (4, 3, 224, 224), 64, 3),
    _layer("vgg.1_2", (4, 64, 224, 224), 64, 3),
    _layer("vgg.2_2", (4, 128, 112, 112), 128, 3),
    _layer("vgg.3_2", (4, 256, 56, 56), 256, 3),
    _layer("vgg.4_2", (4, 512, 28, 28), 512, 3),
    _layer("vgg.5_2", (4, 512, 14, 14), 512, 3),
    _layer("goog.1x1", (8, 192, 28, 28), 64, 1),
    _layer("goog.3x3", (8, 96, 28, 28), 128, 3),
    _layer("goog.5x5", (8, 16, 28, 28), 32, 5),
    _layer("res.c1", (8, 3, 224, 224), 64, 7, stride=2, padding=3),
    _layer("res.2.1x1", (8, 64, 56, 56), 64, 1),
    _layer("res.2.3x3", (8, 64, 56, 56), 64, 3),
    _layer("res.2.wide", (8, 64, 56, 56), 256, 1),
    _layer("res.3.down", (8, 128, 56, 56), 128, 3, stride=2),
    _layer("res.5.3x3", (8, 512, 7, 7), 512, 3),
    _layer("res.5.wide", (8, 512, 7, 7), 2048, 1),
    _layer("cifar.1", (64, 16, 32, 32), 16, 3),
    _layer("cifar.3", (64, 64, 8, 8), 64, 3),
)

#: U-Net on a padded 256 x 256 picture: shallow and wide at the top, 1024 channels at the bottom.
UNET = (
    _layer("unet.1_1", (1, 3, 256, 256), 64, 3),
    _layer("unet.1_2", (1, 64, 256, 256), 64, 3),
    _layer("unet.2_1", (1, 64, 128, 128), 128, 3),
    _layer("unet.2_2", (1, 128, 128, 128), 128, 3),
    _layer("unet.3_2", (1, 256, 64, 64), 256, 3),
    _layer("unet.4_2", (1, 512, 32, 32), 512, 3),
    _layer("unet.5_1", (1, 512, 16, 16), 1024, 3),
    _layer("unet.5_2", (1, 1024, 16, 16), 1024, 3),
    _layer("unet.up4", (1, 1024, 32, 32), 512, 3),
    _layer("unet.up1", (1, 128, 256, 256), 64, 3),
    _layer("unet.out", (1, 64, 256, 256), 2, 1),
)

#: MobileNet v1: depthwise 3x3 (a group a channel) and pointwise 1x1 layers.
MOBILENET = (
    _layer("mobile.c1", (8, 3, 224, 224), 32, 3, stride=2),
    _layer("mobile.dw1", (8, 32, 112, 112), 32, 3, groups=32),
    _layer("mobile.pw1", (8, 32, 112, 112), 64, 1),
    _layer("mobile.dw2", (8, 64, 112, 112), 64, 3, stride=2, groups=64),
    _layer("mobile.pw2", (8, 64, 56, 56), 128, 1),
    _layer("mobile.dw3", (8, 128, 56, 56), 128, 3, groups=128),
    _layer("mobile.pw4", (8, 128, 28, 28), 256, 1),
    _layer("mobile.dw6", (8, 256, 28, 28), 256, 3, stride=2, groups=256),
    _layer("mobile.dw7", (8, 512, 14, 14), 512, 3, groups=512),
    _layer("mobile.pw7", (8, 512, 14, 14), 512, 1),
    _layer("mobile.dw13", (8, 1024, 7, 7), 1024, 3, groups=1024),
    _layer("mobile.pw13", (8, 1024, 7, 7), 1024, 1),
)

#: DenseNet-121: bottlenecks that narrow many channels to 128, 3x3 layers of 32 filters, transitions.
DENSENET = (
    _layer("dense.c0", (8, 3, 224, 224), 64, 7, stride=2, padding=3),
    _layer("dense.1.neck", (8, 128, 56, 56), 128, 1),
    _layer("dense.1.3x3", (8, 128, 56, 56), 32, 3),
    _layer("dense.1.down", (8, 256, 56, 56), 128, 1),
    _layer("dense.2.neck", (8, 320, 28, 28), 128, 1),
    _layer("dense.2.3x3", (8, 128, 28, 28), 32, 3),
    _layer("dense.3.neck", (8, 640, 14, 14), 128, 1),
    _layer("dense.3.3x3", (8, 128, 14, 14), 32, 3),
    _layer("dense.4.neck", (8, 768, 7, 7), 128, 1),
    _layer("dense.4.3x3", (8, 128, 7, 7), 32, 3),
)

#: Inception v3 at 299 x 299: the stem, 5x5, factored 1x7 and 7x1, strided 3x3 without padding.
INCEPTION = (
    _layer("incep.1a", (4, 3, 299, 299), 32, 3, stride=2, padding=0),
    _layer("incep.2a", (4, 32, 149, 149), 32, 3, padding=0),
    _layer("incep.2b", (4, 32, 147, 147), 64, 3),
    _layer("incep.3b", (4, 64, 73, 73), 80, 1),
    _layer("incep.4a", (4, 80, 73, 73), 192, 3, padding=0),
    _layer("incep.5.5x5", (4, 48, 35, 35), 64, 5),
    _layer("incep.5.3x3", (4, 64, 35, 35), 96, 3),
    _layer("incep.6a.down", (4, 288, 35, 35), 384, 3, stride=2, padding=0),
    _layer("incep.6.1x7", (4, 128, 17, 17), 128, (1, 7)),
    _layer("incep.6.7x1", (4, 128, 17, 17), 192, (7, 1)),
    _layer("incep.6e.1x7", (4, 192, 17, 17), 192, (1, 7)),
    _layer("incep.7a.down", (4, 192, 17, 17), 320, 3, stride=2, padding=0),
    _layer("incep.7.1x3", (4, 384, 8, 8), 384, (1, 3)),
    _layer("incep.7.3x1", (4, 384, 8, 8), 384, (3, 1)),
    _layer("incep.7.3x3", (4, 448, 8, 8), 384, 3),
    _layer("incep.7.1x1", (4, 1280, 8, 8), 320, 1),
)

SETS = {
    "facts": FACTS,
    "unet": UNET,
    "mobilenet": MOBILENET,
    "densenet": DENSENET,
    "inception": INCEPTION,
}
