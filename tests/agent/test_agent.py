from pathlib import Path

from monitor.lab import Cut, Lab
from tests.agent.conftest import CLOSED, OPEN
from tests.agent.setting import Machine, instructions
from tests.fakes.centre import FakeCentre


def test_measures_what_it_is_told_and_pushes_what_it_saw(
    lab: Lab, centre: FakeCentre, machine: Machine, tmp_path: Path
) -> None:
    lab.censor(CLOSED, Cut.RESET)
    centre.instructions = instructions(lab, tmp_path, {"open": lab.url(OPEN), "closed": lab.url(CLOSED)})
    machine.enroll(centre)
    with machine.running():
        opened = centre.wait_for_results("open", 2)
        closed = centre.wait_for(lambda: [one for one in centre.of("closed") if one.recording.measurement.is_deep])
    assert not opened[0].recording.measurement.is_deep
    assert any(one.failure == "connection_reset" for one in closed[0].recording.measurement.observations)
    assert closed[0].recording.measurement.vantage == "lahore-1"
    assert [question.target for question in centre.questions] == ["closed"] * len(centre.questions) != []
    assert set(centre.keys.values()) == {1}
