"""A site reads its own memory, which is a copy of its zygote's: what of other sites is in there?"""

import os

SEARCHING = r"""
def application(environ, start_response):
    '''Looks for a word that is nowhere in this file in one piece.'''
    found = []
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            place, permitted = line.split()[:2]
            start, end = (int(number, 16) for number in place.split("-"))
            if "r" not in permitted or "[v" in line:
                continue
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except (OSError, ValueError):
                continue
            at = data.find(b"pass-")
            while at >= 0:
                if data[at + 5 : at + 15][::-1] == b"eert-elppa":
                    found.append(line)
                at = data.find(b"pass-", at + 1)
    start_response("200 OK", [])
    return ["".join(found).encode()]
"""


def test_no_site_finds_the_settings_of_another(daemon, site, sites):
    """``env`` is where operators put passwords.  Many sizes, for memory that was freed is used again."""
    app = sites / "searching.py"
    app.write_text(SEARCHING)
    app.chmod(0o644)
    values = ", ".join(f"K{n} = '{'x' * n}pass-apple-tree{'y' * (n * 37 % 400)}'" for n in range(0, 1200, 13))
    secretive = site("secretive.test", f"user = 50001\nenv = {{ {values} }}")
    curious = f"[[vhost]]\nname = 'curious.test'\nroot = {str(sites)!r}\napp = 'searching.py'\nuser = 50002\n"
    control = curious.replace("curious.test", "control.test") + f"env = {{ {values} }}\n"
    one = daemon(secretive + curious + control)
    assert one.get("secretive.test").status == 200
    assert one.get("curious.test").text == ""
    assert one.get("control.test").text != ""  # it does find what is its own
    os.unlink(app)
