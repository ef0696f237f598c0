"""The plugin that lets no test pass which checks nothing: `tests/assertions.py`."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

HOOK = "[pytest]\nenable_assertion_pass_hook = true\nmarkers =\n    checks_nothing(reason): may pass\n"


@pytest.fixture
def ended(pytester, monkeypatch):
    """What a module with this one text comes to under the plugin: passed, failed, and what was printed."""
    pytester.makeini(HOOK)

    def run(text, **modules):
        pytester.makepyfile(test_it=text, **modules)
        result = pytester.runpytest_subprocess("-p", "tests.assertions", "-p", "no:cacheprovider")
        return result.parseoutcomes(), result.stdout.str()

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return run


def test_tests_that_check_nothing_fail(ended):
    # given an empty loop, an empty test, an assertion of a fixture, and one in a test that is marked
    outcomes, printed = ended(
        """
        import pytest

        @pytest.fixture
        def checked():
            assert 1 == 1
            yield
            assert 2 == 2

        def test_of_an_empty_loop():
            for each in []:
                assert each

        def test_of_a_fixture_alone(checked):
            pass

        def test_with_an_exception_that_comes_through():
            try:
                with pytest.raises(KeyError):
                    raise ValueError
            except ValueError:
                pass

        @pytest.mark.checks_nothing("no reason is left")
        def test_with_a_mark_too_many():
            assert 1 == 1

        @pytest.mark.checks_nothing
        def test_with_a_mark_that_says_nothing():
            pass
        """
    )

    # then none of them passes, and each is told what to do
    assert outcomes == {"failed": 5}
    assert printed.count("passed without one `assert`") >= 3
    assert "take its mark `checks_nothing` away" in printed
    assert "`checks_nothing` needs a reason" in printed


def test_tests_that_check_something_or_say_why_not_pass(ended):
    outcomes, _ = ended(
        """
        import warnings

        import pytest
        pytest.register_assert_rewrite("asked")
        import asked

        def test_with_an_assertion():
            assert 1 == 1

        def test_whose_assertion_stands_in_another_module():
            asked.is_one(1)

        def test_that_raises():
            with pytest.raises(ValueError, match="no"):
                raise ValueError("no")

        def test_that_raises_a_group():
            with pytest.RaisesGroup(ValueError):
                raise ExceptionGroup("two", [ValueError("no")])

        def test_that_warns():
            with pytest.warns(UserWarning):
                warnings.warn("careful")

        @pytest.mark.checks_nothing("it only must not hang")
        def test_with_a_reason():
            pass

        def test_that_is_skipped():
            pytest.skip("not here")
        """,
        asked="def is_one(value):\n    assert value == 1\n",
    )

    assert outcomes == {"passed": 6, "skipped": 1}


def test_the_hook_is_on_for_every_test_of_this_project(pytestconfig):
    assert pytestconfig.getini("enable_assertion_pass_hook")
    assert pytestconfig.pluginmanager.has_plugin("tests.assertions")
