"""The training loop: it learns, repeats itself exactly, keeps the best, and stops on nonsense."""

import numpy as np
import pytest

from fastconv import data, models, nn, optim, training


def setup(splits, seed=0, lr=2e-3, **options):
    model = models.lenet(3, (4, 6), 16, dropout=0.1, rng=seed)
    loader = data.DataLoader(
        splits.train, 16, shuffle=True, seed=seed, augmentation=data.RandomShift(1)
    )
    validation = data.DataLoader(splits.validation, 24)
    trainer = training.Trainer(model, optim.Adam(model.parameters(), lr), progress=False, **options)
    return model, trainer, loader, validation


def test_a_short_run_learns(bar_splits):
    model, trainer, loader, validation = setup(bar_splits, lr=5e-3)
    result = trainer.fit(loader, validation, epochs=15)
    assert [record.epoch for record in result.history] == list(range(1, 16))
    assert result.history[-1].train_loss < 0.5 * result.history[0].train_loss
    assert result.best.validation_accuracy > 0.8
    assert result.images_per_second > 0
    assert result.seconds >= sum(record.seconds for record in result.history)
    test = training.evaluate(model, data.DataLoader(bar_splits.test, 7))
    assert test.accuracy > 0.8


def test_the_same_seed_gives_the_same_weights(bar_splits):
    states = []
    for _ in range(2):
        _, trainer, loader, validation = setup(bar_splits, seed=1)
        states.append(trainer.fit(loader, validation, epochs=2).best_state)
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name])


def test_the_model_ends_with_the_best_weights_in_eval_mode(bar_splits):
    saved = []
    model, trainer, loader, validation = setup(
        bar_splits, on_best=lambda state, record: saved.append((record.epoch, state))
    )
    result = trainer.fit(loader, validation, epochs=4)
    assert saved[-1][0] == result.best_epoch
    assert not model.training
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, saved[-1][1][name])
    losses = [record.validation_loss for record in result.history]
    assert losses.index(min(losses)) + 1 == result.best_epoch


def test_the_schedule_sets_the_rate_before_each_step(bar_splits):
    seen = []

    def schedule(epoch):
        seen.append(epoch)
        return 1e-3

    _, trainer, loader, validation = setup(bar_splits, schedule=schedule)
    trainer.fit(loader, validation, epochs=2)
    np.testing.assert_allclose(seen, np.arange(12) / 6)
    assert trainer.optimizer.lr == 1e-3


def test_divergence_is_an_error_with_advice(bar_splits):
    model, trainer, loader, validation = setup(bar_splits)
    model[0].weight.data[...] = np.nan
    with pytest.raises(FloatingPointError, match="smaller learning rate"):
        trainer.fit(loader, validation, epochs=1)
    with pytest.raises(ValueError, match="epochs is 0"):
        trainer.fit(loader, validation, epochs=0)


def test_the_progress_bar_shows_loss_accuracy_and_speed(bar_splits, capsys):
    pytest.importorskip("tqdm")
    _, trainer, loader, validation = setup(bar_splits)
    trainer.progress = True
    trainer.fit(loader, validation, epochs=1)
    captured = capsys.readouterr()
    for text in ("epoch 1/1", "loss", "accuracy", "images/s"):
        assert text in captured.err
    assert "validation loss" in captured.out


def test_evaluation_counts_and_orders_mistakes():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.05, 0.95]])
    evaluation = training.Evaluation(0.0, 0.5, probabilities, np.array([0, 0, 1, 0]))
    assert evaluation.predictions.tolist() == [0, 1, 0, 1]
    assert evaluation.errors.tolist() == [3, 1, 2]
    assert evaluation.confusion().tolist() == [[1, 2], [1, 0]]


def test_evaluate_puts_the_mode_back_and_does_not_depend_on_batches(bar_splits):
    model = models.lenet(3, (2, 2), 4, dropout=0.5, rng=0)
    one = training.evaluate(model, data.DataLoader(bar_splits.test, 30))
    many = training.evaluate(model, data.DataLoader(bar_splits.test, 7))
    assert model.training
    np.testing.assert_allclose(one.probabilities, many.probabilities, atol=1e-6)
    assert one.loss == pytest.approx(many.loss, abs=1e-6)
    np.testing.assert_allclose(one.probabilities.sum(axis=1), 1, atol=1e-6)
    right = one.predictions == bar_splits.test.labels
    assert one.accuracy == right.mean()


def test_predict_is_in_evaluation_mode():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9, rng=0), nn.Linear(4, 2, rng=0))
    images = np.ones((3, 1, 2, 2), np.float32)
    np.testing.assert_array_equal(training.predict(model, images), training.predict(model, images))
    assert model.training
