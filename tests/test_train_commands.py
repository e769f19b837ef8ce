"""``gristmill train``, ``masks`` and ``rows``: asked as a person asks, on a small release; only ``train`` needs torch."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from pipelines.cli import main
from pipelines.train_commands import places_of
from tests import trainer_runs
from tests.recipes import read
from tests.tiny_tokenizers import byte_level
from tests.trainer_shards import opened, rows, write
from trainer.config import TrainConfig, load_config

Said = tuple[int, str, str]
TORCHLESS = """
import sys
sys.modules["torch"] = None
from pipelines.cli import main
config = sys.argv[1]
for arguments in (["train", config, "--plan"], ["masks", config, "--show", "1"], ["rows", config, "--step", "1"]):
    sys.argv = ["gristmill", *arguments]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code
"""


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The command in this process: exit status, stdout, stderr."""

    def calling(*arguments: object) -> Said:
        monkeypatch.setattr("sys.argv", ["gristmill", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return calling


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trainer_runs.release(tmp_path_factory.mktemp("release"))


@pytest.fixture
def config(release: Path, tmp_path: Path) -> Path:
    """Twelve steps; of the model only the tokenizer is there."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tokenizer.json").write_text(byte_level().definition, encoding="utf-8")
    return trainer_runs.write(tmp_path, trainer_runs.settings(release, Path("model")))


def refused(said: Said, *parts: str) -> None:
    status, out, err = said
    assert (status, out) == (2, ""), said
    assert err.startswith("error: "), err
    assert err.count("\n") == 1, err
    for part in parts:
        assert part in err, err


def table(out: str) -> list[dict[str, str]]:
    """The rows of what ``rows`` prints; two blanks stand between columns."""
    lines = [line for line in out.splitlines() if line[:4].strip().isdigit()]
    names = ("step", "slot", "id", "source", "tokens", "supervised", "epoch", "place", "origin")
    return [dict(zip(names, line.split())) for line in lines]


def test_the_plan_says_what_a_run_would_do_and_trains_nothing(call, config: Path):
    status, out, err = call("train", config, "--plan")
    assert (status, err) == (0, "")
    assert "12 steps of 4 packs of 128 tokens" in out
    assert [line.split()[0] for line in out.splitlines()[-2:]] == ["one", "two"]
    assert not (config.parent / "run" / "checkpoints").exists()


def test_overrides_go_over_the_file(call, config: Path):
    _, out, _ = call("train", config, "data.steps=3", "--plan", "data.packs_per_step=2")
    assert "3 steps of 2 packs" in out


def test_masks_of_a_few_rows_and_of_one(call, config: Path, release: Path):
    status, out, err = call("masks", config, "--show", 2)
    assert (status, err) == (0, "")
    assert out.count("<|im_end|>⟧") == 2
    assert "2 of " in out
    id = read(next((release / "data").glob("train-*")))[3]["id"]
    for start in (id, id[:16]):
        _, out, _ = call("masks", config, "--id", start)
        assert f"row 3 · {'one' if '· one ·' in out else 'two'} · {id}" in out


def test_rows_of_every_step_are_the_released_ones(call, config: Path, release: Path):
    [shard] = (release / "data").glob("train-*")
    released = read(shard)
    seen: dict[str, list[tuple[str, str]]] = {}
    for step in range(1, 13):
        status, out, err = call("rows", config, "--step", step)
        assert (status, err) == (0, "")
        found = table(out)
        assert f"step {step} of 12: {len(found)} rows, N = {sum(int(one['supervised']) for one in found)}" in out
        for one in found:
            name, number = one["place"].split(":")
            row = released[int(number)]
            assert name == shard.name
            assert (row["id"], row["source"]) == (one["id"], one["source"])
            assert one["origin"].split(":")[:2] == [row["provenance"]["file"], str(row["provenance"]["index"])]
            seen.setdefault(one["id"], []).append((one["step"], one["slot"]))
    for id in (released[0]["id"], released[-1]["id"]):
        status, out, err = call("rows", config, "--id", id)
        assert (status, err) == (0, "")
        assert [(one["step"], one["slot"]) for one in table(out)] == seen[id]
        assert f"in {len(seen[id])} of 12 steps" in out


def test_a_record_that_is_in_no_step_has_a_reason(call, config: Path, release: Path):
    released = read(next((release / "data").glob("train-*")))
    longest = max(released, key=lambda row: row["characters"])
    shortest = min(released, key=lambda row: row["characters"])
    _, out, _ = call("rows", config, "data.sequence_length=20", "data.overlong=drop", "--id", longest["id"])
    assert "in no step: it is longer than a sequence" in out
    share = {"one": "two", "two": "one"}[shortest["source"]]
    status, out, err = call("rows", config, f"data.mixture={{{share}: 100 %}}", "data.steps=1", "--id", shortest["id"])
    assert (status, err) == (0, "")
    assert "in no step: steps or mixture end before it is reached" in out


def test_places_count_from_the_start_of_each_shard(tmp_path: Path):
    shards = opened(write(tmp_path, rows(50), files=3))
    places = [place.rsplit(":", 1) for place in places_of(shards, list(range(50)))]
    names = [shard.name for shard in shards.shards]
    assert len(names) == 3
    assert [name for name, _ in places] == sorted([name for name, _ in places], key=names.index)
    for name in names:
        numbers = [int(number) for one, number in places if one == name]
        assert numbers == list(range(len(numbers)))
        assert numbers


def test_the_base_install_plans_and_shows(config: Path, repo: Path):
    said = subprocess.run([sys.executable, "-c", TORCHLESS, config], cwd=repo, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    for part in ("12 steps of 4 packs", "<|im_end|>⟧", "step 1 of 12"):
        assert part in said.stdout


def test_training_without_torch_is_a_sentence(call, config: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    refused(call("train", config), "torch, which is not installed", "pip install -c constraints.txt -e '.[train]'")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--step", 0), "there is no step 0; the plan has 12, counted from 1"),
        (("--step", 13), "there is no step 13"),
        (("--id", "zz"), "no row of this split has the id 'zz'"),
        ((), "--step K for the records of a step, or --id ID for its steps"),
        (("--step", 1, "--id", "a"), "rows answers one question"),
        (("--step", 1, "data.epoch=3"), "did you mean 'epochs'?"),
        (("--step", 1, "seed"), "'seed' is no override"),
        (("--step", 1, "release=nowhere"), "is no release"),
        (("--step", 1, "split=tarin"), "has no split 'tarin'"),
        (("--step", 1, "template=tokenizer"), "carries no chat template"),
    ],
)
def test_a_mistake_is_one_sentence(call, config: Path, arguments: tuple[Any, ...], part: str):
    refused(call("rows", config, *arguments), part)


@pytest.mark.parametrize("command", [("train",), ("train", "--plan"), ("masks",), ("rows", "--step", "1")])
def test_a_configuration_that_is_not_there(call, tmp_path: Path, command: tuple[str, ...]):
    refused(call(*command, tmp_path / "none.yaml"), str(tmp_path / "none.yaml"))


@pytest.mark.slow
def test_training_prints_the_checkpoint_and_goes_on_from_it(call, release: Path, tmp_path: Path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trainer_runs.model(tmp_path / "model")
        path = trainer_runs.write(tmp_path, trainer_runs.settings(release, Path("model")))
        asked = ("train", path, "data.steps=2", "generate=null", "evaluate=null")
        for _ in range(2):  # the second time there is nothing left to do
            status, out, _ = call(*asked)
            assert status == 0
            last = tmp_path / "run" / "checkpoints" / "step-00000002"
            assert out.splitlines()[-1] == str(last.resolve())
        assert transformers.AutoModelForCausalLM.from_pretrained(last).config.model_type == "llama"
        steps = [one["step"] for one in trainer_runs.lines(tmp_path / "run") if "loss" in one]
        assert steps == [1, 2]  # counted as rows --step counts
    finally:
        torch.set_num_threads(before)


def test_the_example_is_on_the_quickstart_release(repo: Path):
    config = load_config(repo / "examples" / "train" / "config.yaml")
    recipe = yaml.safe_load((repo / "examples" / "quickstart" / "recipe.yaml").read_text(encoding="utf-8"))
    assert config.release == f"../../releases/{recipe['name']}/{recipe['version']}"


def leaves(value: dict[str, Any], within: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, one in value.items():
        sub = isinstance(one, dict) and key != "template"
        found |= leaves(one, f"{within}{key}.") if sub else {f"{within}{key}": one}
    return found


def test_the_page_has_every_setting_with_its_default(repo: Path):
    least = {"release": "-", "model": "-", "output": "-"}
    plain = orjson.loads(TrainConfig.model_validate(least | {"lora": {}}).canonical())
    plain["optimizer"]["learning_rate"] = 2e-5
    page = (repo / "docs" / "training.md").read_text(encoding="utf-8").splitlines()
    rows = {line.split("`")[1]: line.split("|")[2].strip() for line in page if line.startswith("| `")}
    for key, default in leaves(plain).items():
        if key in least or key == "template":
            assert key in rows, key
        elif isinstance(default, float):
            assert float(rows[key].strip("`").split()[0]) == default, key
        else:
            text = default if isinstance(default, str) else orjson.dumps(default).decode().replace(",", ", ")
            assert rows[key].strip("`").split(" (")[0] == text, key
    assert rows.keys() - {"lora", "evaluate", "generate"} == leaves(plain).keys()
