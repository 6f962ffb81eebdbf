"""Training length and batch size chosen from the data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.training.config import TrainingConfig
from asr.training.length import learning_rate_shares, with_length


@given(st.floats(1.0, 1e7), st.booleans())
def test_what_the_recipe_sets_stays(seconds, fine_tuning):
    config = TrainingConfig(epochs=7, batch_seconds=20.0, patience=3)
    assert with_length(config, seconds, fine_tuning) == config


@given(st.floats(300.0, 1e6))
def test_there_are_enough_updates_from_five_minutes_on(seconds):
    config = with_length(TrainingConfig(), seconds)
    assert config.epochs * seconds / config.batch_seconds >= 0.95 * config.updates
    assert 4 <= config.batch_seconds <= 120 and 30 <= config.epochs <= 200 and config.patience >= 10


def test_a_large_corpus_has_large_batches_and_thirty_epochs():
    config = with_length(TrainingConfig(), 3600.0 * 100)
    assert (config.batch_seconds, config.epochs) == (120.0, 30)


@pytest.mark.parametrize("minutes", [10, 60])
def test_fine_tuning_takes_a_third_of_the_updates(minutes):
    scratch, tuned = (with_length(TrainingConfig(), 60.0 * minutes, fine_tuning) for fine_tuning in (False, True))
    assert tuned.batch_seconds == scratch.batch_seconds and tuned.epochs == pytest.approx(scratch.epochs / 3, abs=1)


def test_less_data_moves_the_lower_layers_less():
    rates = [learning_rate_shares(hours, 5, False) for hours in (0.1, 0.5, 2.0)]
    assert all(len(row) == 7 and row == sorted(row, reverse=True) for row in rates)
    assert 0 < rates[0][-1] < rates[1][-1] < rates[2][-1] == rates[2][0] < 1


def test_a_new_output_layer_has_the_whole_learning_rate():
    old, new = (learning_rate_shares(0.1, 5, new_output) for new_output in (False, True))
    assert new[0] == 1.0 and new[1:] == old[1:]
