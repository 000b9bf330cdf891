import pytest

from peerdistill.deploy.what import NAMES, check_what, file_stem, in_words, is_what, peer_of
from peerdistill.errors import UserError


@pytest.mark.parametrize("what", ["leader", "ensemble", "ema", "average", "peer:0", "peer:12"])
def test_names_of_networks(what):
    assert is_what(what)
    check_what(what, peers=13)
    assert file_stem(what).isalnum()
    assert in_words(what)


@pytest.mark.parametrize(
    "what", ["", "leaders", "peer", "peer:", "peer:-1", "peer:01", "peer:1.0", "peer:K", "peer:१", 3]
)
def test_other_names_are_refused(what):
    assert not is_what(what)
    if isinstance(what, str):
        with pytest.raises(UserError, match="network to deploy"):
            check_what(what, peers=4)


def test_the_error_lists_all_names():
    with pytest.raises(UserError) as raised:
        check_what("soup", peers=4)
    assert all(name in str(raised.value) for name in NAMES)


def test_a_peer_must_exist():
    check_what("peer:3", peers=4)
    with pytest.raises(UserError, match="peer:4 does not exist: the run has the peers 0 to 3"):
        check_what("peer:4", peers=4)


@pytest.mark.parametrize("what", ["ensemble", "average"])
def test_one_peer_has_no_ensemble(what):
    with pytest.raises(UserError, match=f"the run has one peer, so it has no {what}: choose leader"):
        check_what(what, peers=1)


def test_the_number_of_a_peer():
    assert (peer_of("peer:7"), peer_of("leader")) == (7, None)
    assert in_words("peer:7") == "peer 7"
    assert in_words(None) == "the leader"
