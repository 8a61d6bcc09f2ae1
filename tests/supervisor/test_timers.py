"""Deadlines of the loop."""

from itkwsgi.supervisor.timers import Timers


def test_in_order_of_time_and_of_asking():
    now = [0.0]
    timers = Timers(lambda: now[0])
    done = []
    timers.after(2, lambda: done.append("c"))
    timers.after(1, lambda: done.append("a"))
    timers.after(1, lambda: done.append("b"))
    assert timers.wait() == 1.0
    timers.run()
    assert done == []
    now[0] = 1.5
    timers.run()
    assert done == ["a", "b"]
    assert timers.wait() == 0.5
    now[0] = 9.0
    assert timers.wait() == 0.0
    timers.run()
    assert timers.wait() is None


def test_a_callback_may_ask_again():
    now = [0.0]
    timers = Timers(lambda: now[0])
    done = []

    def again():
        done.append(now[0])
        timers.after(1, again)

    timers.after(0, again)
    timers.run()
    now[0] = 1.0
    timers.run()
    assert done == [0.0, 1.0]
