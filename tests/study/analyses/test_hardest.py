import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from peerdistill.study.analyses import hardest
from peerdistill.study.analyses.base.analysis import DoesNotApply
from peerdistill.study.analyses.hardest import losses


def test_images_are_listed_by_their_cross_entropy(peers):
    expected = F.cross_entropy(
        torch.from_numpy(peers.peers[-1].logits), torch.from_numpy(peers.labels), reduction="none"
    )
    np.testing.assert_allclose(losses(peers.examined, peers.labels), expected, rtol=1e-5, atol=1e-6)
    found = hardest.compute(peers)["hardest"]
    assert [one["row"] for one in found] == expected.argsort(descending=True)[: len(found)].tolist()
    for one in found:
        said = one["predictions"]["leader"]
        assert said["loss"] == pytest.approx(expected[one["row"]].item(), rel=1e-5)
        assert said["probability of the true class"] == pytest.approx(np.exp(-said["loss"]))
        assert one["true"] == peers.class_names[peers.labels[one["row"]]]
        assert one["predictions"]["ensemble"]["predicted"] in peers.class_names


def test_pictures_are_the_pixels_of_the_images(peers):
    one = hardest.compute(peers)["hardest"][0]
    kind, _, content = one["picture"].partition(",")
    assert kind == "data:image/png;base64"
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    np.testing.assert_array_equal(pixels, peers.images.images[one["row"], 0].numpy())


def test_figures_count_images_by_who_is_wrong(peers):
    figures = hardest.compute(peers)["figures"]
    wrong = np.array([peer.logits.argmax(1) != peers.labels for peer in peers.peers])
    together = np.mean([peer.logits for peer in peers.peers], axis=0).argmax(1) != peers.labels
    for name, images in {
        "error (%)": wrong[-1],
        "wrong, ensemble right (%)": wrong[-1] & ~together,
        "right, ensemble wrong (%)": ~wrong[-1] & together,
        "wrong by all peers (%)": wrong.all(0),
    }.items():
        assert figures[name] == pytest.approx(100 * images.mean())


def test_two_runs_differ_in_the_images_that_only_one_gets_right(peers, single):
    found = hardest.compare(single, peers)
    right = [run.peers[-1].logits.argmax(1) == run.labels for run in (single, peers)]
    for name, only in (("only first right", right[0] & ~right[1]), ("only second right", right[1] & ~right[0])):
        assert found["figures"][f"{name} (%)"] == pytest.approx(100 * only.mean())
        listed = [one["row"] for one in found[name]]
        assert set(listed) <= set(np.flatnonzero(only))
        assert len(listed) == min(only.sum(), 12)
    assert sum(figure > 0 for figure in found["figures"].values())  # the runs do differ
    order = [one["predictions"] for one in found["only second right"]]
    gains = [one["first"]["loss"] - one["second"]["loss"] for one in order]
    assert gains == sorted(gains, reverse=True)


def test_episodes_and_other_images_are_not_compared(peers, episodes):
    with pytest.raises(DoesNotApply, match="few-shot"):
        hardest.compute(episodes)
    with pytest.raises(DoesNotApply, match="few-shot"):
        hardest.compare(peers, episodes)
