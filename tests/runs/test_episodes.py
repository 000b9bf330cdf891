"""Few-shot runs: the same run folder, trainer and checkpoints as every other run."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from peerdistill import deploy, methods, runs
from peerdistill.config import Config, parse, read_config
from peerdistill.config.kinds import EPISODES
from peerdistill.contrast import BankContrastOptions
from peerdistill.errors import UserError
from peerdistill.fewshot import EpisodeSetConfig
from peerdistill.runs import Run
from peerdistill.terms import Method
from peerdistill.training import Interrupted
from support.digits import digits_of_each_class, write_npz
from support.options import few_shot, option_words

SHORT = {**few_shot(episodes=4, per_epoch=2, validation=5, test=8), "crop_padding": 1, "flip": "false"}
CONTRASTING = [
    name
    for name in methods.names()
    if any(isinstance(o.default, BankContrastOptions) for o in methods.options_of(name))
]


@pytest.fixture(scope="session")
def sixteen(tmp_path_factory) -> Path:
    """Ten images of each digit at 16 x 16."""
    return write_npz(tmp_path_factory.mktemp("few-shot") / "sixteen.npz", *digits_of_each_class(10))


@pytest.fixture(scope="session")
def short_config(sixteen) -> Callable[..., Config]:
    """Return a function that makes the configuration of a run of 4 episodes, or another with changes."""

    def make(data: str | Path = f"npz:{sixteen}", **changes) -> Config:
        options = {"method": "baseline", "peers": 1, **SHORT, **changes}
        if options["method"] in CONTRASTING:
            options["contrast.count"] = 16
        return parse([str(data), *option_words(options)], EPISODES)[0]

    return make


@pytest.fixture(scope="session")
def prototypical(tmp_path_factory, short_config, train_quickly) -> Run:
    """A plain prototypical network, not to be changed."""
    path = tmp_path_factory.mktemp("runs") / "prototypical"
    train_quickly(short_config(), path)
    return Run(path)


@pytest.fixture(scope="session")
def classifying(tmp_path_factory, short_config, train_quickly) -> Run:
    """A prototypical network with an auxiliary classifier, not to be changed."""
    path = tmp_path_factory.mktemp("runs") / "classifying"
    train_quickly(short_config(method="dml", peers=2), path)
    return Run(path)


@pytest.mark.parametrize("name", methods.names())
def test_trains_resumes_evaluates_and_exports(
    name, tmp_path, classifying, short_config, train_quickly, state_of, stop_and_resume
):
    card = methods.find(name)
    config = short_config(method=name, **({"teacher": classifying.path} if card.needs_teacher else {"peers": 3}))
    whole = Run(tmp_path / "whole")
    result = train_quickly(config, whole.path)
    stopped = stop_and_resume(config, tmp_path / "stopped")
    assert state_of(stopped) == state_of(whole)
    assert stopped.metrics_file.read_bytes() == whole.metrics_file.read_bytes()

    assert runs.evaluate_run(whole).as_dict() == result["last"]["test"]
    restored = runs.restore(whole)
    pictures, _ = runs.sample_pictures(whole, count=4)
    file = tmp_path / "encoder.safetensors"
    report = deploy.export(restored.leader(), restored.card, file, format="safetensors", pictures=pictures)
    assert report.agreement == 1.0


def test_a_run_interrupted_within_an_epoch_goes_on_to_the_same_end(
    prototypical, tmp_path, short_config, train_quickly, state_of
):
    config = short_config(checkpoint_every=1, log_every=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Method, "after_step", lambda self, cohort: signal.raise_signal(signal.SIGINT))
        with pytest.raises(Interrupted):
            train_quickly(config, tmp_path / "run")
    run = Run(tmp_path / "run")
    assert run.checkpoints.load(run.checkpoints.last)["progress"]["step"] == 1
    train_quickly(run.config, run.path, resume=True)
    assert state_of(run) == state_of(prototypical)
    assert run.metrics_file.read_bytes() == prototypical.metrics_file.read_bytes()


def test_the_result_tells_both_epochs_over_episodes(prototypical):
    result = json.loads(prototypical.result_file.read_text())
    for found in (result["last"], result["best"]):
        for split, episodes in (("val", 5), ("test", 8)):
            told = found[split]
            assert (told["ways"], told["shots"], told["queries"], told["episodes"]) == (2, 1, 2, episodes)
            assert told["samples"] == episodes * 4
            assert set(told["leader"]) == {"top1", "interval95"}
    lines = [json.loads(line) for line in prototypical.metrics_file.read_text().splitlines()]
    assert result["last"]["val"] == lines[-1]["validation"]
    assert list(lines[0]["loss"]) == ["total", "prototypical"]
    assert [line["step"] for line in lines] == [2, 4]
    assert result["parameters"]["leader"] < result["parameters"]["cohort"]


def test_the_classifier_of_a_plain_prototypical_network_is_never_trained(
    prototypical, tmp_path, short_config, train_quickly
):
    shorter = Run(tmp_path / "shorter")
    config = short_config()
    train_quickly(short_config(episodes=config.episodes.episodes_per_epoch), shorter.path)
    first, last = (run.checkpoints.load(run.checkpoints.last)["cohort"] for run in (shorter, prototypical))
    assert torch.equal(first["networks.0.fc.weight"], last["networks.0.fc.weight"])
    assert not torch.equal(first["networks.0.block1.0.weight"], last["networks.0.block1.0.weight"])


def test_a_configuration_survives_its_file(tmp_path, short_config):
    for changes in ({}, {"method": "mcl-okd", "peers": 3, "sharing": "network"}, {"test.shots": 5}):
        config = short_config(**changes)
        file = tmp_path / "config.yaml"
        file.write_text(config.as_yaml())
        assert read_config(file) == config
        assert "epochs:" not in file.read_text()


def test_episodes_decide_epochs_and_batch_size(short_config):
    config = short_config(episodes=40, shots=2)
    assert (config.training.epochs, config.training.batch_size) == (20, 12)


@pytest.mark.parametrize("data", ["omniglot", "miniimagenet", "cifar-fs", "pictures"])
@pytest.mark.parametrize("method", ["baseline", "mcl-okd", "okddip"])
def test_recipes_are_complete_and_in_range(tmp_path, monkeypatch, data, method):
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    config, _ = parse([data, "--method", method], EPISODES)
    config.check()
    assert config.cohort.backbone == "conv4"
    assert (config.training.optimizer.name, config.training.lr) == ("adam", 0.001)
    if method == "mcl-okd":
        contrast = config.options["contrast"]
        assert (config.options["temperature"], config.options["beta"], contrast.temperature) == (4.0, 0.25, 0.1)


def test_the_recipe_of_omniglot_is_that_of_snell_et_al():
    config, _ = parse(["omniglot"], EPISODES)
    assert config.episodes.shape == (60, 1, 5)
    assert config.data.rotations
    schedule = config.training.schedule
    assert (schedule.name, schedule.every, schedule.factor) == ("step", 2000, 0.5)


def test_a_name_wins_over_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("omniglot").mkdir()
    assert parse(["omniglot"], EPISODES)[0].data.data == "omniglot"


def test_a_run_is_resumed_by_the_command_that_started_it(prototypical, trained):
    with pytest.raises(UserError, match="was started by peerdistill fewshot: resume it with that command"):
        parse(["--resume", f"--run={prototypical.path}"])
    with pytest.raises(UserError, match="was started by peerdistill train: resume it with that command"):
        parse(["--resume", f"--run={trained.path}"], EPISODES)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ways": 9}, "ways is 9 in training episodes, but there are only 6 training classes: choose fewer ways"),
        ({"shots": 9}, r"training episodes need 11 images per class \(shots 9, queries 2\), but class 'a' has only 10"),
        (
            {"validation.ways": 3},
            "ways is 3 in validation episodes, but there are only 2 validation classes: choose fewer ways",
        ),
        ({"test.queries": 10}, r"test episodes need 11 images per class \(shots 1, queries 10\)"),
        ({"episodes": 5}, "episodes must be a multiple of episodes_per_epoch, found 5 and 2"),
    ],
)
def test_nothing_is_written_where_episodes_can_not_be_drawn(tmp_path, short_config, train_quickly, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        train_quickly(short_config(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


class TestTeacher:
    def test_features_of_any_teacher_can_be_learnt_from(
        self, tmp_path, prototypical, short_config, train_quickly, state_of
    ):
        """A run and the encoder exported from it are the same teacher."""
        restored = runs.restore(prototypical)
        pictures, _ = runs.sample_pictures(prototypical, count=4)
        file = tmp_path / "encoder.safetensors"
        deploy.export(restored.leader(), restored.card, file, format="safetensors", pictures=pictures)
        for number, teacher in enumerate((prototypical.path, file)):
            train_quickly(short_config(method="rkd-da", teacher=teacher), tmp_path / str(number))
        assert state_of(Run(tmp_path / "0")) == state_of(Run(tmp_path / "1"))

    def test_a_wider_teacher_is_allowed(self, tmp_path, short_config, train_quickly):
        train_quickly(short_config(backbone="conv4_128", episodes=2), tmp_path / "wide")
        train_quickly(short_config(method="rkd-d", teacher=tmp_path / "wide"), tmp_path / "student")
        lines = Run(tmp_path / "student").metrics_file.read_text().splitlines()
        assert all(json.loads(line)["loss"]["distance"] > 0 for line in lines)

    @pytest.mark.parametrize("changes", [{"method": "kd"}, {"method": "crd+kd"}, {"method": "dml", "peers": 2}])
    def test_scores_are_not_learnt_from_an_untrained_classifier(
        self, tmp_path, prototypical, short_config, train_quickly, changes
    ):
        with pytest.raises(UserError, match="has no classifier for the training classes"):
            train_quickly(short_config(teacher=prototypical.path, **changes), tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_plus_kd_learns_from_a_trained_classifier(self, tmp_path, classifying, short_config, train_quickly):
        train_quickly(short_config(method="dml", peers=2, teacher=classifying.path), tmp_path / "run")
        (line, _) = (json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
        assert line["loss"]["teacher"] > 0

    def test_a_prototypical_network_does_not_teach_classes(
        self, tmp_path, prototypical, quick_config, sixteen, train_quickly
    ):
        with pytest.raises(UserError, match="was trained on different classes"):
            train_quickly(
                quick_config(f"npz:{sixteen}", method="kd", peers=1, teacher=prototypical.path), tmp_path / "run"
            )


class TestExams:
    def test_other_episodes_than_the_run_s_own(self, prototypical):
        (asked,) = runs.episode_sets(prototypical, EpisodeSetConfig(ways=2, shots=3, queries=4, episodes=20, seed=5))
        (found,) = runs.evaluate_episodes(prototypical, (asked,))
        assert found.evaluation().as_dict()["shots"] == 3
        assert found.accuracy.shape == (2, 20)

    def test_the_run_s_own_are_those_of_its_result(self, prototypical):
        (found,) = runs.evaluate_episodes(prototypical, runs.episode_sets(prototypical))
        result = json.loads(prototypical.result_file.read_text())
        assert found.evaluation().as_dict() == result["last"]["test"]

    def test_two_runs_are_compared_in_the_same_episodes(self, prototypical, classifying):
        asked = runs.episode_sets(prototypical, EpisodeSetConfig(ways=2, queries=3, episodes=40))
        (found,) = runs.compare(prototypical, classifying, asked)
        first, second = (runs.evaluate_episodes(run, asked)[0].leader for run in (prototypical, classifying))
        difference = 100 * (second - first).numpy()
        assert found.difference.top1 == pytest.approx(difference.mean())
        assert found.difference.interval95 == pytest.approx(1.96 * difference.std(ddof=1) / np.sqrt(40))
        assert found.first.top1 == pytest.approx(100 * first.mean().item())
        assert found.second.top1 == pytest.approx(100 * second.mean().item())

    def test_a_run_is_as_good_as_itself(self, prototypical):
        (found,) = runs.compare(prototypical, prototypical, runs.episode_sets(prototypical))
        assert (found.difference.top1, found.difference.interval95) == (0.0, 0.0)

    def test_shots_as_in_training_are_those_of_the_first_run(self, tmp_path, prototypical, short_config, train_quickly):
        train_quickly(short_config(shots=2), tmp_path / "two")
        (found,) = runs.compare(prototypical, Run(tmp_path / "two"), runs.episode_sets(prototypical))
        assert found.shape.shots == 1

    def test_runs_on_other_test_images_can_not_be_compared(self, tmp_path, prototypical, sixteen):
        with np.load(sixteen) as archive:
            content = dict(archive)
        np.savez(tmp_path / "dark.npz", **{**content, "images": content["images"] // 2})
        other = Run(tmp_path / "other")
        shutil.copytree(prototypical.path, other.path)
        text = other.config_file.read_text()
        other.config_file.write_text(text.replace(str(sixteen), str(tmp_path / "dark.npz")))
        with pytest.raises(UserError, match="cannot be compared: they have different test images"):
            runs.compare(prototypical, other, runs.episode_sets(prototypical))
        with pytest.raises(UserError, match="the training images have changed since the run was started"):
            runs.evaluate_episodes(other, runs.episode_sets(other))

    def test_runs_of_classes_have_no_episodes(self, trained):
        with pytest.raises(UserError, match="was trained by peerdistill train: use a run of"):
            runs.episode_sets(trained)

    def test_the_paper_s_columns(self, prototypical):
        asked = runs.episode_sets(prototypical, paper=True)
        assert [(column.ways, column.shots) for column in asked] == [(5, 1), (5, 5)]


def test_without_validation_classes_only_the_last_epoch_is_kept(tmp_path, short_config, train_quickly):
    result = train_quickly(short_config(trainval="true"), tmp_path / "run")
    assert result["best"] is None
    assert "val" not in result["last"]
    with pytest.raises(UserError, match="has no val split: choose --split test"):
        runs.evaluate_episodes(Run(tmp_path / "run"), (EpisodeSetConfig(ways=2),), split="val")


@pytest.mark.parametrize("backbone", ["resnet8", "timm:test_vit", "torchvision:shufflenet_v2_x0_5"])
def test_any_backbone_is_an_encoder(tmp_path, short_config, train_quickly, backbone):
    changes = {"method": "dml", "peers": 2, "sharing": "network", "episodes": 2}
    train_quickly(short_config(backbone=backbone, **changes), tmp_path / "run")
    restored = runs.restore(Run(tmp_path / "run"))
    pictures, _ = runs.sample_pictures(Run(tmp_path / "run"), count=4)
    file = tmp_path / "encoder.safetensors"
    deploy.export(restored.leader(), restored.card, file, format="safetensors", pictures=pictures)
    images = torch.randn(3, 1, 16, 16)
    with torch.no_grad():
        features = restored.cohort(images).features[-1]
        assert torch.equal(restored.leader()(images), features)
        assert torch.equal(deploy.load_leader(file)[0].network(images), features)


def test_peers_may_be_of_different_widths(tmp_path, short_config, train_quickly):
    changes = {"method": "dml", "peers": 2, "sharing": "network", "peer_backbones": "[conv4_128]"}
    result = train_quickly(short_config(**changes), tmp_path / "run")
    assert len(result["last"]["test"]["peers"]) == 2


def test_what_is_deployed_has_no_classifier(classifying):
    restored = runs.restore(classifying)
    encoder = restored.leader()
    assert restored.card.is_encoder
    assert not [name for name in encoder.state_dict() if name.startswith("fc")]
    images = torch.randn(3, 1, 16, 16)
    with torch.no_grad():
        assert torch.equal(encoder(images), restored.cohort(images).features[-1])


def test_accumulation_clipping_ema_and_patience_work_with_episodes(
    tmp_path, short_config, train_quickly, stop_and_resume, state_of
):
    options = {"method": "dml", "peers": 2, "accumulate": 2, "clip_norm": 0.1, "ema": 0.9, "patience": 3}
    config = short_config(**options)
    whole = Run(tmp_path / "whole")
    result = train_quickly(config, whole.path)
    stopped = stop_and_resume(config, tmp_path / "stopped")
    assert stopped.metrics_file.read_bytes() == whole.metrics_file.read_bytes()
    assert state_of(stopped) == state_of(whole)
    lines = [json.loads(line) for line in whole.metrics_file.read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]  # two episodes each
    assert set(lines[0]["validation"]["ema"]) == {"top1", "interval95"}
    (found,) = runs.evaluate_episodes(whole, runs.episode_sets(whole))
    assert found.evaluation().as_dict() == result["last"]["test"] == runs.evaluate_run(whole).as_dict()
    ema = runs.restore(whole).ema()
    images = torch.zeros(2, 1, 16, 16)
    assert ema(images).shape == runs.restore(whole).leader()(images).shape  # features: an encoder


def test_more_episodes_for_a_run_are_refused(prototypical, short_config, train_quickly):
    with pytest.raises(UserError, match=r"started with episodes 4, found 6: its learning-rate .* with --weights \S+$"):
        train_quickly(short_config(episodes=6), prototypical.path, resume=True)


def test_patience_needs_validation_episodes(tmp_path, short_config, train_quickly):
    with pytest.raises(UserError, match="patience 3 needs validation images, and none are held out"):
        train_quickly(short_config(trainval="true", patience=3), tmp_path / "run")
