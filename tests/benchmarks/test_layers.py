"""The layers that are timed are those that the tables name."""

from dataclasses import replace

import pytest

from benchmarks.peers.layers import FACTS, SETS, Layer

#: Output shapes of the classic layers, from the papers that introduced the networks.
OUTPUTS = {
    "lenet.c1": (64, 6, 28, 28),
    "lenet.c2": (64, 16, 10, 10),
    "deepconv.c1": (64, 16, 28, 28),
    "deepconv.c3": (64, 32, 14, 14),
    "alex.c1": (16, 64, 55, 55),
    "alex.c2": (16, 192, 27, 27),
    "alex.c3": (16, 384, 13, 13),
    "vgg.1_1": (4, 64, 224, 224),
    "vgg.1_2": (4, 64, 224, 224),
    "vgg.2_2": (4, 128, 112, 112),
    "vgg.3_2": (4, 256, 56, 56),
    "vgg.4_2": (4, 512, 28, 28),
    "vgg.5_2": (4, 512, 14, 14),
    "goog.1x1": (8, 64, 28, 28),
    "goog.3x3": (8, 128, 28, 28),
    "goog.5x5": (8, 32, 28, 28),
    "res.c1": (8, 64, 112, 112),
    "res.2.1x1": (8, 64, 56, 56),
    "res.2.3x3": (8, 64, 56, 56),
    "res.2.wide": (8, 256, 56, 56),
    "res.3.down": (8, 128, 28, 28),
    "res.5.3x3": (8, 512, 7, 7),
    "res.5.wide": (8, 2048, 7, 7),
    "cifar.1": (64, 16, 32, 32),
    "cifar.3": (64, 64, 8, 8),
}

#: Where one layer's output is the next one's input, and where the papers give the size.
SIZES = {
    "incep.1a": (149, 149),
    "incep.2a": (147, 147),
    "incep.2b": (147, 147),
    "incep.4a": (71, 71),
    "incep.6a.down": (17, 17),
    "incep.6.1x7": (17, 17),
    "incep.6.7x1": (17, 17),
    "incep.7a.down": (8, 8),
    "mobile.c1": (112, 112),
    "mobile.dw2": (56, 56),
    "mobile.dw6": (14, 14),
    "dense.c0": (112, 112),
    "unet.5_2": (16, 16),
}


def test_the_classic_layers_have_the_shapes_of_their_networks():
    assert {layer.name: layer.output_shape for layer in FACTS} == OUTPUTS


@pytest.mark.parametrize("name", SIZES)
def test_the_other_sets_have_the_sizes_of_their_networks(name):
    (layer,) = [layer for layers in SETS.values() for layer in layers if layer.name == name]
    assert layer.output_shape[2:] == SIZES[name]


def test_names_are_told_apart():
    names = [layer.name for layers in SETS.values() for layer in layers]
    assert len(set(names)) == len(names)


def test_every_group_divides_its_channels():
    for layer in (layer for layers in SETS.values() for layer in layers):
        assert layer.channels % layer.groups == layer.filters % layer.groups == 0


def test_work_is_that_of_the_plain_sum():
    layer = Layer("x", 2, 4, 5, 6, 8, (3, 2), stride=2, padding=(1, 0), groups=2)
    assert layer.output_shape == (2, 8, 3, 3)
    assert layer.weight_shape == (8, 2, 3, 2)
    assert layer.flops("forward") == 2 * (2 * 8 * 3 * 3) * (2 * 3 * 2)
    assert layer.flops("backward") == 2 * layer.flops("forward")


def test_traffic_moves_each_array_once():
    layer = Layer("x", 2, 3, 5, 5, 7, (3, 3))
    image, weight, output = 2 * 3 * 25, 7 * 27, 2 * 7 * 9
    assert layer.traffic("forward", 4) == 4 * (image + weight + output)
    assert layer.traffic("backward", 8) == 8 * (2 * image + 2 * weight + output + 7)


def test_a_batch_is_cut_until_its_columns_fit():
    layer = Layer("x", 16, 2, 10, 10, 4, (3, 3), padding=(1, 1))
    image = 2 * 9 * 100 * 8
    assert layer.cut_to_fit(8, 16 * image) == layer
    assert layer.cut_to_fit(8, 5 * image) == replace(layer, batch=4)
    assert layer.cut_to_fit(8, 1).batch == 1


def test_the_geometry_reads_well():
    plain = Layer("x", 1, 2, 3, 4, 5, (1, 1))
    assert plain.text() == "1,2,3,4 → 5 1×1"
    odd = replace(plain, kernel=(1, 7), stride=2, padding=(0, 3), groups=2)
    assert odd.text() == "1,2,3,4 → 5 1×7 s2 p0,3 g2"
    assert replace(plain, padding=(1, 1)).text().endswith("p1")
