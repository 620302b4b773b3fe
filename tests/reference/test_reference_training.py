"""Update rules, differences, augmentation and the rules that the reference itself keeps."""

import ast
import doctest
import importlib
import pkgutil
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastconv import reference

MODULES = ["fastconv.reference"] + [
    f"fastconv.reference.{module.name}" for module in pkgutil.iter_modules(reference.__path__)
]


class TestOptimizers:
    def test_two_steps_of_each_by_hand(self):
        """From 1 with gradients 2 and 4, rate 0.5, beta 0.5."""
        plain = reference.gradient_descent(reference.gradient_descent([1], [2], 0.5), [4], 0.5)
        assert plain.tolist() == [-2]
        step = reference.momentum([1], [2], [0], 0.5, 0.5)
        assert (step.parameter.item(), step.velocity.item()) == (0, 2)
        step = reference.momentum(step.parameter, [4], step.velocity, 0.5, 0.5)
        assert (step.parameter.item(), step.velocity.item()) == (-2.5, 5)
        step = reference.nesterov_momentum([1], [2], [0], 0.5, 0.5)
        assert (step.parameter.item(), step.velocity.item()) == (-0.5, 2)
        step = reference.nesterov_momentum(step.parameter, [4], step.velocity, 0.5, 0.5)
        assert (step.parameter.item(), step.velocity.item()) == (-3.75, 5)

    def test_adagrad_remembers_and_rmsprop_forgets(self):
        ada = reference.adagrad([0], [4], [9], learning_rate=1.0, eps=0.0)
        assert (ada.parameter.item(), ada.squares.item()) == (-0.8, 25)
        rms = reference.rmsprop([0], [4], [2], learning_rate=1.0, beta=0.5, eps=1.0)
        assert (rms.parameter.item(), rms.squares.item()) == (-1, 9)

    def test_zero_gradient_does_not_divide_by_zero(self):
        """003 section 4.3 has no epsilon."""
        assert reference.rmsprop([1], [0], [0]).parameter.item() == 1
        assert reference.adagrad([1], [0], [0]).parameter.item() == 1
        assert reference.adam([1], [0], [0], [0], 1).parameter.item() == 1

    def test_adam_second_step_by_hand(self):
        """Betas 1/2 and 3/4, gradients 2 and 2: both corrected averages are those of a constant."""
        mean, squares, parameter = [0], [0], [1]
        for step in (1, 2):
            parameter, mean, squares = reference.adam(
                parameter, [2], mean, squares, step, 0.25, (0.5, 0.75), eps=0.0
            )
        assert (mean.item(), squares.item()) == (1.5, 1.75)
        assert parameter.item() == pytest.approx(0.5)

    def test_adam_epsilon_is_outside_the_root(self):
        """Gradient 1e-6, epsilon 1e-6: a step of half the rate; inside the root nearly none."""
        step = reference.adam([0.0], [1e-6], [0.0], [0.0], 1, learning_rate=1.0, eps=1e-6)
        assert step.parameter.item() == pytest.approx(-0.5)

    def test_arguments_are_left_alone(self):
        arrays = [np.ones(2) for _ in range(4)]
        reference.adam(*arrays, 1)
        for array in arrays:
            assert array.tolist() == [1, 1]

    def test_weight_decay_shrinks_weights(self):
        gradient = reference.decayed_gradient([0.0, 0.0], [2.0, -4.0], 0.5)
        assert reference.gradient_descent([2.0, -4.0], gradient, 1.0).tolist() == [1, -2]


class TestGradientCheck:
    def test_a_wrong_gradient_is_seen(self):
        """A slip of 1 part in 1000 stands out; the right one is at rounding error."""

        def cube_sum(x):
            return float((x**3).sum())

        point = np.asarray([[1.0, -2.0], [0.5, 3.0]])
        assert reference.gradient_error(cube_sum, 3 * point**2, point) < 1e-8
        assert reference.gradient_error(cube_sum, 3.003 * point**2, point) > 1e-5

    def test_two_sides_are_exact_for_a_square(self):
        gradient = reference.numerical_gradient(lambda x: float(x[0] ** 2), [3.0], step=0.5)
        assert gradient.tolist() == [6]

    def test_distance_of_zeros(self):
        assert reference.relative_distance([0.0, 0.0], [0.0, 0.0]) == 0


class TestAugmentation:
    IMAGE = np.arange(24.0).reshape(2, 3, 4)

    def test_random_crop_stays_inside_and_reaches_every_place(self):
        corners = {reference.random_crop(self.IMAGE, 2, seed)[0, 0, 0] for seed in range(60)}
        assert corners == {0, 1, 2, 4, 5, 6}

    def test_crop_outside(self):
        with pytest.raises(ValueError, match="leaves an image"):
            reference.crop(self.IMAGE, 2, 0, 2)

    def test_centre(self):
        assert_array_equal(reference.five_crop(self.IMAGE, (1, 2))[4], self.IMAGE[:, 1:2, 1:3])

    def test_predictions_are_averaged(self):
        actual = reference.five_crop_prediction(lambda part: part[:, 0, 0], self.IMAGE, 1)
        assert_allclose(actual, self.IMAGE[:, [0, 0, 2, 2, 1], [0, 3, 0, 3, 1]].mean(axis=1))

    def test_flips_undo_themselves(self):
        for flip in (reference.flip_horizontal, reference.flip_vertical):
            assert_array_equal(flip(flip(self.IMAGE)), self.IMAGE)
        assert reference.flip_horizontal(self.IMAGE)[0, 0].tolist() == [3, 2, 1, 0]
        assert reference.flip_vertical(self.IMAGE)[0, :, 0].tolist() == [8, 4, 0]


class TestInitialization:
    def test_fans(self):
        assert reference.fans((6, 3, 5, 5)) == (75, 150)

    def test_seeds(self):
        assert_array_equal(reference.he((3, 4), seed=5), reference.he((3, 4), seed=5))
        assert (reference.he((3, 4), seed=5) != reference.he((3, 4), seed=6)).all()


class TestHouseRules:
    @pytest.mark.parametrize("name", MODULES)
    def test_doctests(self, name):
        result = doctest.testmod(importlib.import_module(name))
        assert result.attempted > 0
        assert result.failed == 0

    @pytest.mark.parametrize("name", MODULES)
    def test_imports(self, name):
        """NumPy and the standard library alone: an oracle shares no code with what it judges."""
        tree = ast.parse(Path(importlib.import_module(name).__file__).read_text())
        allowed = {"__future__", "collections", "math", "numpy", "random", "typing"}
        for node in ast.walk(tree):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                modules = [node.module]
            for module in modules:
                own = module.startswith("fastconv.reference.")
                assert own or module.split(".")[0] in allowed

    @pytest.mark.parametrize("name", MODULES)
    def test_numpy_is_a_container_only(self, name):
        tree = ast.parse(Path(importlib.import_module(name).__file__).read_text())
        containers = {"asarray", "zeros", "float64", "int64", "issubdtype", "floating"}
        used = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "np"
        }
        assert used <= containers

    def test_all_names_exist_and_have_examples(self):
        assert sorted(reference.__all__) == list(reference.__all__)
        for name in reference.__all__:
            assert ">>>" in (getattr(reference, name).__doc__ or ""), name
