"""The centre as the agent's control: asked where something unexpected was seen, and answering with what it measured."""

import logging
from collections import OrderedDict
from typing import Final

import msgspec

from monitor.agent.link import Link, RefusedError, SlowDownError, TooLargeError, nonce
from monitor.agent.transport import UnreachableError
from monitor.model.fleet import ControlAnswer, ControlQuestion
from monitor.model.measurement import FollowUp, Measurement, Request
from monitor.model.seams import Clock
from monitor.model.target import Target

log = logging.getLogger("monitor.agent")

ANSWER_SECONDS: Final = 60.0
_REMEMBERED: Final = 500


class CentreControls:
    """Satisfies `Controls`. A centre that does not answer gives none; the round is judged without."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._latest: OrderedDict[str, tuple[float, tuple[Measurement, ...]]] = OrderedDict()  # by target

    def __bool__(self) -> bool:
        """Tell that there is somebody to ask."""
        return True

    def known(self, target: Target, since: float) -> tuple[Measurement, ...]:
        """Return what the centre told of a target, asked at `since` (`Clock.boottime`) or later."""
        asked_at, found = self._latest.get(target.name, (float("-inf"), ()))
        return found if asked_at >= since else ()

    async def fresh(self, request: Request, since: float) -> tuple[Measurement, ...]:
        """Return what the centre's controls see, asking where it is not known since then."""
        return self.known(request.target, since) or await self.extended(request, (), since)

    async def extended(self, request: Request, checks: tuple[FollowUp, ...], since: float) -> tuple[Measurement, ...]:
        """Return what the centre's controls see, at the endpoints that were met here too."""
        asked_at = self._clock.boottime()
        question = ControlQuestion(
            nonce=nonce(), target=request.target.name, follow_ups=checks, max_age_seconds=max(0.0, asked_at - since)
        )
        try:
            answer = await self._link.ask(
                "/v1/control",
                msgspec.json.encode(question),
                question.nonce,
                ControlAnswer,
                seconds=ANSWER_SECONDS,
            )
        except (UnreachableError, SlowDownError, TooLargeError, RefusedError) as error:
            log.info("the centre gave no control", extra={"target": request.target.name, "why": type(error).__name__})
            return ()
        self._latest[request.target.name] = asked_at, answer.controls
        self._latest.move_to_end(request.target.name)
        while len(self._latest) > _REMEMBERED:
            self._latest.popitem(last=False)
        return answer.controls
