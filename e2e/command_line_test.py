"""Commands on snapshot files: the real program, no cluster. The fleet is examples/snapshots/hybrid.yaml: a gang and a model
server at home, and a gang that waits."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from commands import offline
from spillway_dev.paths import EXAMPLES

Object = dict[str, Any]
HYBRID = EXAMPLES / "snapshots" / "hybrid.yaml"
POOL = "pools:\n  - {namespace: research, name: small, acceleratorsPerWorker: 2, accelerators: [{type: nvidia-a100-80gb, workers: 1}]}\n"


def edited(folder: Path, old: str, new: str) -> str:
    """A copy of the fleet with something else in it."""
    text = HYBRID.read_text()
    assert old in text
    path = folder / "edited.yaml"
    path.write_text(text.replace(old, new))
    return str(path)


def told(*arguments: str, code: int, input: str | None = None) -> str:
    """What it prints; the exit code is as said and there is no error."""
    answer = offline(*arguments, input=input)
    assert (answer[0], answer[2]) == (code, ""), answer
    return answer[1]


def refused(*arguments: str, input: str | None = None) -> str:
    """Its one sentence."""
    code, output, error = offline(*arguments, input=input)
    assert (code, output) == (1, "") and error.startswith("spillway: ") and error.count("\n") == 1, (code, output, error)
    return error.removeprefix("spillway: ").rstrip("\n")


# Exit codes: 0 nothing to change, 2 changes, 1 error.

def test_plan_ends_with_0_for_nothing_to_do_and_2_for_something(tmp_path: Path) -> None:
    assert told("plan", str(HYBRID), code=0).startswith("nothing to do\n")
    for form in ("text", "json", "yaml"):
        told("plan", str(HYBRID), "-o", form, code=0)
        told("plan", edited(tmp_path, "replicas: 4, unit", "replicas: 5, unit"), "-o", form, code=2)
    assert "cannot read" in refused("plan", "/nowhere/file")
    code, _, error = offline("plan", str(HYBRID), "-o", "xml")
    assert code == 1 and "xml" in error


# -o: one value in three forms.

def in_both_forms(*arguments: str, code: int) -> Object:
    """What it says in JSON, which is what it says in YAML."""
    said = json.loads(told(*arguments, "-o", "json", code=code))
    assert said == as_json(yaml.safe_load(told(*arguments, "-o", "yaml", code=code)))
    return said


def as_json(value: Any) -> Any:
    """JSON has no times: they are texts there."""
    if isinstance(value, dict):
        return {key: as_json(one) for key, one in value.items()}
    if isinstance(value, list):
        return [as_json(one) for one in value]
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime.datetime) else value


def test_plan_is_json_and_yaml_with_all_that_stays_as_it_is() -> None:
    plan = in_both_forms("plan", str(HYBRID), code=0)
    assert plan["currency"] == "USD" and plan["now"] == "2026-11-24T12:00:00Z"
    assert [(one["name"], one["action"]) for one in plan["pools"]] == [("opt-66b", "keep"), ("vit-22b", "wait")]
    runs, waits = plan["pools"]
    assert runs["status"]["placement"]["nodes"] == ["gpu-1", "gpu-2"] and runs["hourlyCost"] == "16.44"
    assert waits["conditions"]["Placed"]["status"] == "False"
    assert waits["conditions"]["Placed"]["reason"] == "HoldingBackSpill" and waits["position"] == 1
    assert [one["name"] for one in waits["alternatives"]] == ["onprem-a100", "azure-a100"]
    (chat,) = plan["inferencePools"]
    assert chat["requiredCapacity"] == "16" and chat["cells"][0]["desired"] == 4
    assert {one["name"]: one["accelerators"]["free"] for one in plan["groups"]} == {"azure-a100": 16, "onprem-a100": 4}
    assert [(one["namespace"], one["accelerators"][0]) for one in plan["quotas"]] == [
        ("research", {"type": "nvidia-a100-80gb", "used": 16, "limit": 64, "guaranteed": 0, "borrowed": 16, "lent": 0}),
        ("serving", {"type": "nvidia-a100-80gb", "used": 4, "guaranteed": 0, "borrowed": 4, "lent": 0})]


def test_why_is_json_and_yaml_of_that_pool() -> None:
    why = in_both_forms("why", "research/vit-22b", "-f", str(HYBRID), code=0)
    assert [one["name"] for one in why["pools"]] == ["vit-22b"] and why["inferencePools"] == [] and "groups" not in why
    planned = in_both_forms("plan", str(HYBRID), code=0)["pools"][1]
    told_more = ("alternatives", "remedies")  # with what each place would cost, and all that is missing
    assert {**why["pools"][0], **{field: planned[field] for field in told_more}} == planned
    assert why["estimate"] == {"nodeGroup": "azure-a100", "startsBy": "2026-11-24T12:05:00Z"}
    prices = [one["message"].rpartition("; ")[2] for one in why["pools"][0]["alternatives"]]
    assert prices[-1] == "for 65.54 USD an hour, 65.54 at the margin"
    assert in_both_forms("why", "chat-8b", "-n", "serving", "-f", str(HYBRID), code=0)["inferencePools"]
    text = told("why", "research/vit-22b", "-f", str(HYBRID), code=0)
    assert text == told("why", "research/vit-22b", "-f", str(HYBRID), "-o", "text", code=0) and text.startswith("research/vit-22b: wait\n")
    assert refused("why", "nobody", "-f", str(HYBRID), "-o", "json") == "there is no TrainingPool or InferencePool default/nobody"


# verify

def test_verify_says_what_it_checked() -> None:
    assert told("verify", str(HYBRID), code=0) == (
        "planned 2 TrainingPools and 1 InferencePool on 5 nodes of 2 node groups: 0 changes\n"
        "every invariant holds\n"
        "the plan of the applied plan changes nothing\n"
        "the same facts in another order give the same plan\n")
    assert in_both_forms("verify", str(HYBRID), code=0) == {
        "sound": True, "trainingPools": 2, "inferencePools": 1, "nodes": 5, "nodeGroups": 2, "changes": 0}
    assert told("verify", "-", input=HYBRID.read_text(), code=0).startswith("planned 2 TrainingPools")


def test_verify_refuses_what_is_no_snapshot(tmp_path: Path) -> None:
    path = edited(tmp_path, "tier: 10", "tier: high")
    assert refused("verify", path).startswith(f"{path}: line 7: groups: field tier: ")
    assert offline("verify")[0] == 1


# plan --diff

def test_diff_tells_how_two_plans_differ(tmp_path: Path) -> None:
    more = edited(tmp_path, "replicas: 4, unit", "replicas: 5, unit")
    text = told("plan", "--diff", str(HYBRID), more, code=2)
    assert "InferencePool serving/chat-8b: CapacityMet → CapacityShort\n" in text
    assert "  runs: 4 a100@onprem-a100 → 5 a100@onprem-a100\n" in text
    assert "pools that differ: 1 of 3\n" in text and "the pools cost 20.55 → 21.5775 (+1.0275) USD an hour" in text, text
    back = told("plan", "--diff", more, str(HYBRID), code=2)
    assert "  runs: 5 a100@onprem-a100 → 4 a100@onprem-a100\n" in back
    found = in_both_forms("plan", "--diff", str(HYBRID), more, code=2)
    (chat,) = found["pools"]
    assert (chat["kind"], chat["name"], found["differs"]) == ("InferencePool", "chat-8b", True)
    assert [chat[one]["parts"][0]["count"] for one in ("before", "after")] == [4, 5]


def test_diff_of_alike_plans_ends_with_0() -> None:
    text = told("plan", "--diff", str(HYBRID), str(HYBRID), code=0)
    assert text.startswith("pools that differ: 0 of 3\n") and "→" not in text
    assert in_both_forms("plan", "--diff", str(HYBRID), str(HYBRID), code=0)["differs"] is False


def test_diff_refuses_what_cannot_be_compared(tmp_path: Path) -> None:
    euros = edited(tmp_path, "currency: USD", "currency: EUR")
    assert "counts in USD, the second in EUR" in refused("plan", "--diff", str(HYBRID), euros)
    assert refused("plan", "--diff", str(HYBRID), "/nowhere/file") == "cannot read /nowhere/file"
    assert refused("plan", "--diff", "/nowhere/file", str(HYBRID)) == "cannot read /nowhere/file"
    for arguments in (("--diff", str(HYBRID)), (str(HYBRID), "--diff", str(HYBRID), str(HYBRID)),
                      ("--all", "--diff", str(HYBRID), str(HYBRID))):
        code, output, error = offline("plan", *arguments)
        assert (code, output) == (1, "") and "--diff" in error, error


# simulate

EDITS = [
    (("--drain", "onprem-a100"), "leaves onprem-a100, whose admission is Drain, for azure-a100 at its next checkpoint, by 2026-11-24T12:00:01Z"),
    (("--open", "onprem-a100"), None),
    (("--add-nodes", "onprem-a100=2"), "  nodes: takes onprem-a100-new-1 and onprem-a100-new-2\n"),
    (("--remove-nodes", "azure-a100=2"), "the nodes cost 90.20 → 24.66 (-65.54) USD an hour"),
    (("--price", "onprem-a100=10"), "  costs 16.44 → 20.00 (+3.56) USD an hour"),
    (("--remove-pool", "research/opt-66b"), "TrainingPool research/opt-66b: Placed → absent\n"),
    (("--scale", "serving/chat-8b=5"), "  runs: 4 a100@onprem-a100 → 5 a100@onprem-a100\n"),
    (("--at", "2026-11-24T12:06:00Z"), "TrainingPool research/vit-22b: NotPlaced → Placed\n"),
]


@pytest.mark.parametrize("edit, says", EDITS, ids=[one[0][0] + " " + one[0][1] for one in EDITS])
def test_simulate_tells_what_an_edit_would_change(edit: tuple[str, ...], says: str | None) -> None:
    text = told("simulate", str(HYBRID), *edit, code=0 if says is None else 2)
    assert says is None or says in text, text


def test_simulate_closes_and_opens_a_group(tmp_path: Path) -> None:
    later = ("--at", "2026-11-24T12:06:00Z")
    placed = "TrainingPool research/vit-22b: NotPlaced → Placed\n"
    assert placed in told("simulate", str(HYBRID), *later, code=2)
    assert placed not in told("simulate", str(HYBRID), *later, "--close", "azure-a100", code=2)
    closed = edited(tmp_path, "name: azure-a100, ", "name: azure-a100, admission: Closed, ")
    assert placed not in told("simulate", closed, *later, code=0)
    assert placed in told("simulate", closed, *later, "--open", "azure-a100", code=2)


def test_simulate_adds_pools_from_a_file_or_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "pools.yaml"
    file.write_text(POOL)
    text = told("simulate", str(HYBRID), "--add-pool", str(file), code=2)
    assert "TrainingPool research/small: absent → Placed\n" in text and "  runs: nothing → 1 worker on onprem-a100\n" in text
    assert told("simulate", str(HYBRID), "--add-pool", "-", input=POOL, code=2) == text
    assert told("simulate", "-", "--add-pool", str(file), input=HYBRID.read_text(), code=2) == text


def test_simulate_makes_edits_in_the_order_given() -> None:
    price = "--price", "onprem-a100=10"
    assert told("simulate", str(HYBRID), "--price", "onprem-a100=9", *price, code=2) == told("simulate", str(HYBRID), *price, code=2)
    less, more = ("--remove-nodes", "azure-a100=2"), ("--add-nodes", "azure-a100=1")
    assert "the nodes cost 90.20 → 57.43 (-32.77) USD an hour" in told("simulate", str(HYBRID), *more, *less, code=2)
    assert refused("simulate", str(HYBRID), *less, *more) == (
        "--add-nodes azure-a100=1: node group azure-a100 has no node that new ones could be like")


def test_simulate_is_json_and_yaml_too() -> None:
    found = in_both_forms("simulate", str(HYBRID), "--scale", "serving/chat-8b=5", code=2)
    assert [one["name"] for one in found["pools"]] == ["chat-8b"]
    assert in_both_forms("simulate", str(HYBRID), "--open", "onprem-a100", code=0)["pools"] == []


@pytest.mark.parametrize("edit, sentence", [
    (("--drain", "nowhere"), 'the snapshot has no node group "nowhere"; it has azure-a100 and onprem-a100'),
    (("--close", "nowhere"), 'the snapshot has no node group "nowhere"; it has azure-a100 and onprem-a100'),
    (("--open", "nowhere"), 'the snapshot has no node group "nowhere"; it has azure-a100 and onprem-a100'),
    (("--add-nodes", "azure-a100"), '"azure-a100" is not GROUP=N'),
    (("--add-nodes", "azure-a100=many"), '"many" is no whole number from 1 to 100000'),
    (("--remove-nodes", "azure-a100=3"), "node group azure-a100 has 2 nodes: 3 cannot go"),
    (("--price", "azure-a100=cheap"), '"cheap" is no amount of money; write for example 32.77'),
    (("--add-pool", "/nowhere/file"), "cannot read /nowhere/file"),
    (("--add-pool", str(HYBRID)), "line 2: field now is not allowed here; allowed: pools, inferencePools"),
    (("--remove-pool", "vit-22b"),
     '"vit-22b" is not NAMESPACE/NAME, nor TrainingPool/NAMESPACE/NAME or InferencePool/NAMESPACE/NAME'),
    (("--scale", "research/vit-22b=0"), '"0" is no whole number from 1 to 10000'),
    (("--at", "noon"), '"noon" is no RFC 3339 time'),
], ids=lambda one: " ".join(one) if isinstance(one, tuple) else "")
def test_simulate_says_what_is_wrong_with_an_edit(edit: tuple[str, str], sentence: str) -> None:
    assert refused("simulate", str(HYBRID), *edit) == f"{' '.join(edit)}: {sentence}"


def test_simulate_wants_a_snapshot_and_an_edit() -> None:
    assert refused("simulate", str(HYBRID)) == "simulate needs an edit, such as --drain GROUP, or --play TRACE"
    assert refused("simulate", "/nowhere/file", "--drain", "x") == "cannot read /nowhere/file"
    assert offline("simulate", "--drain", "x")[0] == 1


def test_simulate_lists_every_edit() -> None:
    text = told("simulate", "--help", code=0)
    for edit in ("--drain GROUP", "--close GROUP", "--open GROUP", "--add-nodes GROUP=N", "--remove-nodes GROUP=N",
                 "--price GROUP=AMOUNT", "--add-pool FILE", "--remove-pool [KIND/]NAMESPACE/NAME",
                 "--scale [KIND/]NAMESPACE/NAME=N", "--at TIME"):
        assert f"  {edit}" in text, text


# simulate --play: gangs that come and go.

MORNING = EXAMPLES / "traces" / "morning.yaml"


def test_a_trace_is_played_to_its_end() -> None:
    text = told("simulate", str(HYBRID), "--play", str(MORNING), code=0)
    assert "research/probe Completed: came 2026-11-24T12:00:00Z, started 2026-11-24T12:00:00Z" in text
    assert "3 completed, 0 failed, 0 running, 0 waiting\n" in text and text.splitlines()[-1].startswith("the nodes cost ")
    assert text == told("simulate", str(HYBRID), "--play", "-", input=MORNING.read_text(), code=0)


def test_a_play_is_json_and_yaml() -> None:
    play = in_both_forms("simulate", str(HYBRID), "--play", str(MORNING), code=0)
    assert [(one["name"], one["state"]) for one in play["gangs"]] == [
        ("eval", "Completed"), ("probe", "Completed"), ("tune-7b", "Completed")]
    assert play["totals"]["acceleratorSeconds"]["useful"] == 4 * (5400 + 10800 + 3600)
    assert [(one["name"], one["nodes"]) for one in play["groups"]] == [("azure-a100", 2), ("onprem-a100", 3)]


def test_each_flag_of_a_play_tells() -> None:
    def play(*flags: str) -> Object:
        return json.loads(told("simulate", str(HYBRID), "--play", str(MORNING), "-o", "json", *flags, code=0))
    plain = play()
    overhead = plain["totals"]["acceleratorSeconds"]["startingAndStopping"]
    assert play("--startup-seconds", "61")["totals"]["acceleratorSeconds"]["startingAndStopping"] == overhead + 4 * 4
    assert float(play("--release-after-seconds", "60")["groups"][0]["bill"]) < float(plain["groups"][0]["bill"])
    wider = play("--add-nodes", "onprem-a100=2")
    assert wider["totals"]["moves"] == 1 and play("--add-nodes", "onprem-a100=2", "--stop-seconds", "60")["ended"] > wider["ended"]


def test_a_play_says_what_is_wrong_with_its_trace(tmp_path: Path) -> None:
    bad = MORNING.read_text().replace("runsForSeconds: 5400", "runsForSeconds: long")
    assert refused("simulate", str(HYBRID), "--play", "-", input=bad).startswith(
        "-: line 3: arrivals: field runsForSeconds: \"long\" is no whole number")
    known = MORNING.read_text().replace("name: probe", "name: opt-66b")
    assert refused("simulate", str(HYBRID), "--play", "-", input=known) == (
        "arrival research/opt-66b: there is a TrainingPool of that name already")
    assert "cannot read" in refused("simulate", str(HYBRID), "--play", str(tmp_path / "none"))
    code, _, error = offline("simulate", str(HYBRID), "--stop-seconds", "5")
    assert code == 1 and "--play" in error
