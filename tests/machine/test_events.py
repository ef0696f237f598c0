"""Events that simpy has not."""

from __future__ import annotations

import simpy

from workflows.local.events import Bell, Later, happen


def test_what_is_due_later_is_not_triggered_before_and_what_is_due_now_is() -> None:
    env = simpy.Environment()
    later, now = Later(env, 5, "value"), Later(env, 0)
    assert (later.triggered, now.triggered) == (False, True)
    assert env.run(later) == "value"
    assert env.now == 5


def test_what_is_let_happen_has_happened_at_once_for_who_waits_and_for_who_comes_later() -> None:
    env = simpy.Environment()
    event = env.event()
    heard = []

    def wait(name: str) -> simpy.events.ProcessGenerator:
        heard.append((name, (yield event)))

    env.process(wait("early"))
    env.run(1)
    # when it happens, nothing more is scheduled
    assert happen(event, "value").processed
    assert heard == [("early", "value")]
    env.process(wait("late"))
    env.run(2)
    assert heard == [("early", "value"), ("late", "value")]


def test_a_bell_rings_once_for_each_wait_with_whatever_comes_first() -> None:
    # given a bell tied to what may come at any time, and to a phase for each wait
    env = simpy.Environment()
    bell = Bell(env)
    any_time = env.event()
    bell.tie(any_time)
    woken = []

    def wait() -> simpy.events.ProcessGenerator:
        for seconds in (1, 100, 200):
            bell.tie(env.timeout(seconds))
            yield bell.rung()
            woken.append(env.now)

    process = env.process(wait())
    # when that comes within the second phase
    env.timeout(50).callbacks.append(lambda _passed: any_time.succeed() and None)
    env.run(process)
    # then the phase that was cut short rings as well, within the third
    assert woken == [1, 50, 101]


def test_a_bell_is_silent_about_what_happened_before_it_was_tied() -> None:
    env = simpy.Environment()
    bell = Bell(env)
    bell.tie(happen(env.event()), env.timeout(3))
    env.run(bell.rung())
    assert env.now == 3
