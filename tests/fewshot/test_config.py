from dataclasses import replace

import pytest

from peerdistill.errors import UserError
from peerdistill.fewshot import EpisodeConfig, EpisodeSetConfig, paper_columns


def test_defaults_are_in_range():
    EpisodeConfig().check()
    EpisodeSetConfig().check()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ways": 1}, r"ways must be at least 2 and .*, found 1"),
        ({"shots": 0}, r"shots must be at least 1 and .*, found 0"),
        ({"queries": 0}, r"queries must be at least 1 and .*, found 0"),
        ({"episodes": 0}, r"episodes must be at least 1 and .*, found 0"),
        ({"episodes_per_epoch": 0}, r"episodes_per_epoch must be at least 1 and .*, found 0"),
        ({"episodes": 250}, "episodes must be a multiple of episodes_per_epoch, found 250 and 100"),
        ({"prototypical": 0.0}, r"prototypical must be above 0 and .*, found 0.0"),
        ({"validation": EpisodeSetConfig(ways=1)}, r"validation\.ways must be at least 2 and .*, found 1"),
        ({"test": EpisodeSetConfig(shots=0)}, r"test\.shots must be at least 1 and .*, found 0"),
        ({"test": EpisodeSetConfig(queries=0)}, r"test\.queries must be at least 1 and .*, found 0"),
        ({"test": EpisodeSetConfig(episodes=1)}, r"test\.episodes must be at least 2 and .*, found 1"),
        ({"test": EpisodeSetConfig(seed=-1)}, r"test\.seed must be at least 0 and .*, found -1"),
    ],
)
def test_a_value_out_of_range_is_named_as_its_option_is(changes, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        replace(EpisodeConfig(), **changes).check()


def test_peers_are_tested_with_as_many_shots_as_they_were_trained_with():
    training = EpisodeConfig(shots=5)
    assert EpisodeSetConfig(ways=20).shape(training) == (20, 5, 15)
    assert EpisodeSetConfig(ways=20, shots=1).shape(training) == (20, 1, 15)


def test_an_epoch_is_a_block_of_episodes():
    config = EpisodeConfig(ways=60, shots=1, queries=5, episodes=10_000)
    assert config.epochs == 100
    assert config.shape.images == 360


def test_the_paper_s_table_has_four_columns_of_omniglot_and_two_of_miniimagenet():
    columns = [(column.ways, column.shots, column.episodes) for column in paper_columns("omniglot")]
    assert columns == [(5, 1, 1000), (5, 5, 1000), (20, 1, 1000), (20, 5, 1000)]
    columns = [(column.ways, column.shots, column.episodes) for column in paper_columns("miniimagenet")]
    assert columns == [(5, 1, 600), (5, 5, 600)]
