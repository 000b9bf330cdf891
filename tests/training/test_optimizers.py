from copy import deepcopy
from functools import partial

import pytest
import timm.optim
import torch
from torch import nn, optim

from peerdistill import Cohort, methods
from peerdistill.errors import UserError
from peerdistill.training import OptimizerConfig
from peerdistill.training.optimizers import load_optimizer_state, make_optimizer, parameter_groups


def test_sgd_gets_its_options():
    optimizer = make_optimizer(
        [{"params": [nn.Parameter(torch.zeros(2))]}], OptimizerConfig("sgd", 0.8, True, 0.01), 0.2
    )
    group = optimizer.param_groups[0]
    assert isinstance(optimizer, optim.SGD)
    assert [group[name] for name in ("lr", "momentum", "nesterov", "weight_decay")] == [0.2, 0.8, True, 0.01]


def test_nesterov_is_ignored_without_momentum():
    """PyTorch refuses Nesterov's momentum without momentum."""
    optimizer = make_optimizer(
        [{"params": [nn.Parameter(torch.zeros(2))]}], OptimizerConfig(momentum=0.0, nesterov=True), 0.2
    )
    assert optimizer.param_groups[0]["nesterov"] is False


@pytest.mark.parametrize(("name", "kind"), [("adam", optim.Adam), ("adamw", optim.AdamW)])
def test_adam_and_adamw_get_rate_and_weight_decay(name, kind):
    optimizer = make_optimizer(
        [{"params": [nn.Parameter(torch.zeros(2))]}], OptimizerConfig(name, weight_decay=0.3), 0.2
    )
    assert type(optimizer) is kind
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (0.2, 0.3)


OPTIMIZERS = {"sgd": partial(optim.SGD, momentum=0.9, nesterov=True), "adam": optim.Adam, "adamw": optim.AdamW}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def steps(optimizer: optim.Optimizer, weights: nn.Parameter, gradients: torch.Tensor) -> None:
    for gradient in gradients:
        weights.grad = torch.empty_like(weights).copy_(gradient)
        optimizer.step()


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_fused_step_agrees_with_the_loop(name, memory_format):
    start, gradients = torch.randn(4, 3, 2, 2), torch.randn(3, 4, 3, 2, 2)
    ours = nn.Parameter(start.clone(memory_format=FORMATS[memory_format]))
    plain = nn.Parameter(start.clone())
    steps(make_optimizer([{"params": [ours]}], OptimizerConfig(name, weight_decay=0.1), 0.1), ours, gradients)
    steps(OPTIMIZERS[name]([plain], lr=0.1, weight_decay=0.1, fused=False, foreach=False), plain, gradients)
    torch.testing.assert_close(ours, plain)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_state_of_another_memory_format_is_loaded(name):
    """A run may be resumed on a machine where another memory format is faster."""
    start, gradients = torch.randn(4, 3, 2, 2), torch.randn(4, 4, 3, 2, 2)
    through = nn.Parameter(start.clone())
    before = make_optimizer([{"params": [through]}], OptimizerConfig(name), 0.1)
    steps(before, through, gradients[:2])
    after = nn.Parameter(through.detach().clone(memory_format=torch.channels_last))
    resumed = make_optimizer([{"params": [after]}], OptimizerConfig(name), 0.1)
    load_optimizer_state(resumed, deepcopy(before.state_dict()))
    steps(before, through, gradients[2:])
    steps(resumed, after, gradients[2:])
    torch.testing.assert_close(after, through)


def test_shared_parameters_are_included_once():
    cohort = Cohort("resnet20", classes=3, peers=3, sharing="branch")
    every = [parameter for network in cohort.networks for parameter in network.parameters()]
    groups = parameter_groups(cohort, every, OptimizerConfig())
    included = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(every) > len(included) == len({id(parameter) for parameter in every})


PLAIN = OptimizerConfig("sgd", weight_decay=0.1)


def rates_and_decays(cohort: Cohort, config: OptimizerConfig, others=()) -> dict[str, tuple[float, float]]:
    """Return learning rate (of 1) and weight decay of every parameter of a cohort by name."""
    optimizer = make_optimizer(parameter_groups(cohort, others, config), config, 1.0)
    of = {id(one): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for one in group["params"]}
    return {name: of[id(parameter)] for name, parameter in cohort.named_parameters()}


def test_the_defaults_make_one_group_of_all_parameters_in_their_order():
    cohort = Cohort("resnet8", classes=3, peers=3, sharing="branch")
    method = methods.build("mcl-okd", cohort, train_labels=torch.arange(60) % 3)
    groups = parameter_groups(cohort, method.parameters(), OptimizerConfig())
    every = [*cohort.parameters(), *method.parameters()]
    assert len(groups) == 1
    assert [id(one) for one in groups[0]["params"]] == [id(one) for one in every]


def test_norms_and_biases_do_not_decay_as_in_timm():
    cohort = Cohort("resnet8", classes=3, peers=1, sharing="network")
    found = rates_and_decays(cohort, OptimizerConfig("sgd", weight_decay=0.1, decay_all=False))
    plain, decayed = timm.optim.param_groups_weight_decay(cohort, 0.1)
    ids = {id(parameter): name for name, parameter in cohort.named_parameters()}
    assert {name for name, (_, decay) in found.items() if decay} == {ids[id(one)] for one in decayed["params"]}
    assert {name for name, (_, decay) in found.items() if not decay} == {ids[id(one)] for one in plain["params"]}


def test_layer_decay_counts_the_stages_below_the_classifier():
    cohort = Cohort("resnet8", classes=3, peers=2, sharing="branch")
    found = rates_and_decays(cohort, OptimizerConfig("sgd", layer_decay=0.5, new_layers=10.0))
    stages = cohort.backbone.stages
    for name, (rate, _) in found.items():
        inside = name.split(".", 2)[2]
        if inside.startswith(f"{cohort.backbone.classifier}."):
            assert rate == 10.0
            continue
        depth = next(
            depth for depth, stage in enumerate(stages) if any(inside.startswith(f"{one}.") for one in stage.modules)
        )
        assert rate == 0.5 ** (len(stages) - depth)


def test_layer_decay_of_a_network_in_blocks_agrees_with_timm():
    """timm counts a transformer's blocks as layers, and so do the stages of its adapter."""
    cohort = Cohort("timm:vit_tiny_patch16_224", classes=3, peers=1, sharing="network", image_size=32)
    found = rates_and_decays(cohort, OptimizerConfig("sgd", layer_decay=0.5))
    network = cohort.networks[0]
    scale = {
        id(parameter): group["lr_scale"]
        for group in timm.optim.param_groups_layer_decay(network, layer_decay=0.5)
        for parameter in group["params"]
    }
    blocks = {name: parameter for name, parameter in network.named_parameters() if name.startswith("blocks.")}
    assert blocks
    for name, parameter in blocks.items():
        ratio = found[f"networks.0.{name}"][0] / found["networks.0.blocks.0.norm1.weight"][0]
        assert ratio == pytest.approx(scale[id(parameter)] / scale[id(blocks["blocks.0.norm1.weight"])])


def test_the_layers_of_the_method_learn_at_the_rate_of_new_layers():
    cohort = Cohort("resnet8", classes=3, peers=2)
    heads = [nn.Parameter(torch.zeros(2, 2))]
    groups = parameter_groups(cohort, heads, OptimizerConfig(new_layers=7.0))
    optimizer = make_optimizer(groups, OptimizerConfig(new_layers=7.0), 0.1)
    group = next(group for group in optimizer.param_groups if any(one is heads[0] for one in group["params"]))
    assert group["lr"] == pytest.approx(0.7)


def test_frozen_parameters_are_left_out():
    cohort = Cohort("resnet8", classes=3, peers=2)
    first = next(cohort.parameters()).requires_grad_(False)
    groups = parameter_groups(cohort, [], PLAIN)
    assert not any(one is first for group in groups for one in group["params"])


@pytest.mark.parametrize("name", ["lion", "lamb", "nadamw", "adabelief", "rmsprop"])
def test_a_step_of_an_optimizer_of_timm_is_timms(name):
    start, gradients = torch.randn(4, 3), torch.randn(3, 4, 3)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    steps(make_optimizer([{"params": [ours]}], OptimizerConfig(name, weight_decay=0.1), 0.1), ours, gradients)
    steps(timm.optim.create_optimizer_v2([theirs], name, lr=0.1, weight_decay=0.1, momentum=0.9), theirs, gradients)
    torch.testing.assert_close(ours, theirs)


def test_an_unknown_optimizer_is_named():
    with pytest.raises(UserError, match=r"unknown optimizer\.name 'lyon'.*lion"):
        make_optimizer([{"params": [nn.Parameter(torch.zeros(2))]}], OptimizerConfig("lyon"), 0.1)
