"""The surroundings of a site's code."""

from itkwsgi.runtime.place import variables

PLAN = {
    "root": "/srv/a",
    "uid": 50001,
    "account": {"name": "", "home": "", "shell": ""},
    "tmp_dir": "/var/spool/itkwsgi/tmp/a",
    "env": {},
}


def test_a_number_without_account():
    found = variables(PLAN)
    assert (found["HOME"], found["USER"], found["LOGNAME"]) == ("/srv/a", "50001", "50001")
    assert found["TMPDIR"] == "/var/spool/itkwsgi/tmp/a"


def test_an_account_has_its_own():
    account = {"name": "jess", "home": "/home/jess", "shell": "/bin/zsh"}
    found = variables({**PLAN, "account": account})
    assert (found["HOME"], found["USER"], found["SHELL"]) == ("/home/jess", "jess", "/bin/zsh")


def test_the_operator_has_the_last_word():
    assert variables({**PLAN, "env": {"HOME": "/elsewhere", "A": "b"}})["HOME"] == "/elsewhere"
