import pytest

from peerdistill.errors import UserError
from peerdistill.training.loggers.mark import Mark


def test_what_was_passed_before_does_not_pass_again_also_in_another_process(tmp_path):
    file = tmp_path / "loggers" / "one.json"
    mark = Mark(file)
    assert mark.run is None
    mark.run = "abc"
    assert [mark.passes("step", step) for step in (1, 2, 2, 1, 5)] == [True, True, False, False, True]
    again = Mark(file)
    assert again.run == "abc"
    assert [again.passes("step", step) for step in (4, 5, 6)] == [False, False, True]
    assert again.passes("epoch", 1)


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_a_damaged_file_is_one_sentence(tmp_path, text):
    (tmp_path / "one.json").write_text(text)
    with pytest.raises(UserError, match=r"one\.json is damaged, remove it to log the rest of the run as a new one"):
        Mark(tmp_path / "one.json")
