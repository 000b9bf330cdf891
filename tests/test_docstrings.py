"""Examples in docstrings run and show what they say; the names that users meet first have one."""

import doctest
import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import peerdistill
from peerdistill.evaluation import METRICS

# Each of these must have an example. Add a name when you write an example for it.
WITH_EXAMPLE = (
    "Cohort",
    "UserError",
    "backbones.Backbone",
    "backbones.build",
    "backbones.resolve",
    "backbones.names",
    "config.Config",
    "deploy.LeaderCard",
    "deploy.predict",
    "methods.build",
    "methods.find",
    "methods.mcl_okd",
    "methods.MethodCard",
    "terms.Batch",
    "terms.CrossEntropy",
    "terms.EMAPeersToPeers",
    "terms.EnsembleToLeader",
    "terms.GatedEnsemble",
    "terms.InBatchScores",
    "terms.Method",
    "terms.MultiViewContrast",
    "terms.MutualKL",
    "terms.Ramp",
    "terms.Teacher",
    "terms.Weighted",
    "contrast.ContrastOptions",
    "contrast.EmbeddingQueue",
    "contrast.MemoryBank",
    "contrast.NegativeSampler",
    "contrast.multi_view_nce",
    "contrast.queue_nce",
    "contrast.supervised_contrast",
    "numerics.min_float32",
    "numerics.with_custom_gradient",
    "ranges.Range",
    "rng.keyed_generator",
    "sharing.copies_per_stage",
    "user_code.user_function",
    "load_leader",
    "training.InterruptRequest",
)


def modules_with_examples() -> list[str]:
    """Names of the modules whose source contains an example; only these are imported."""
    found = pkgutil.walk_packages(peerdistill.__path__, "peerdistill.")
    specs = [module.module_finder.find_spec(module.name, None) for module in found]
    return [spec.name for spec in specs if ">>>" in Path(spec.origin).read_text(encoding="utf-8")]


def documented(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Yield a module, and the functions, classes and members of classes that are defined in it."""
    yield module.__name__, module
    for name, value in list(vars(module).items()):  # a lazy import may add names
        if getattr(value, "__module__", None) != module.__name__:
            continue
        yield f"{module.__name__}.{name}", value
        for member_name, member in vars(value).items() if inspect.isclass(value) else ():
            yield f"{module.__name__}.{name}.{member_name}", member


# Not doctest.DocTestFinder: it skips functions that the shape checks of the tests wrap.
@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_show_what_they_say(name, tmp_path, monkeypatch):
    for metric in list(METRICS.values()):
        if not metric.measure.__module__.startswith("peerdistill."):  # registered by the code of a page
            monkeypatch.delitem(METRICS, metric.name)
    monkeypatch.chdir(tmp_path)
    module = import_module(name)
    parser, runner, output = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False), []
    for path, value in documented(module):
        doc = getattr(value, "__doc__", None)
        if isinstance(doc, str) and ">>>" in doc:
            examples = parser.get_doctest(doc, dict(vars(module)), path, module.__file__, 0)
            runner.run(examples, out=output.append)
    assert not runner.failures, "".join(output)
    assert runner.tries or "+SKIP" in inspect.getsource(module)


@pytest.mark.parametrize("name", WITH_EXAMPLE)
def test_what_users_meet_first_has_an_example(name):
    value = peerdistill
    for part in name.split("."):
        if inspect.ismodule(value) and not hasattr(value, part):
            import_module(f"{value.__name__}.{part}")
        value = getattr(value, part)
    assert ">>>" in (inspect.getdoc(value) or "")
