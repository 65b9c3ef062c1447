"""The developer's and the visitor's commands: try the pack, test it, serve it, without preparing anything by hand.

    python dev.py demo [--image FILE] [--instruction TEXT] [--seed N] [--out DIR]
    python dev.py test [lint|core|host|browser ...] [--install-browser] [-- pytest arguments]
    python dev.py serve [--port N]
    python dev.py bench NAME [arguments]
    python dev.py new-node NAME ["Display Name"]
    python dev.py lock [--upgrade]

It needs Python 3.10 and nothing else: host and environment are prepared in a per-user cache (ICEDIT_CACHE moves it),
pinned and hash-checked. An existing ComfyUI wins: the one in COMFYUI_PATH, or the one this folder is installed in.
Linux is what this was run on; macOS and Windows are written for, not run.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def main():
    if sys.version_info < (3, 10):  # noqa: UP036 - said in words before newer syntax is met
        sys.exit("dev.py: got Python {}.{}, but 3.10 or newer is needed.".format(*sys.version_info[:2]))
    command, arguments = split(sys.argv[1:])
    from devtools import locate, prepare, processes

    try:
        with processes.terminated_by_signals():
            if command == "lock":
                return prepare.compile_locks(upgrade="--upgrade" in arguments)
            python, comfyui = host_and_python(locate, prepare, with_tests=command == "test")
    except (prepare.PreparationFailed, ValueError) as problem:
        sys.exit(f"dev.py: {problem}")
    except KeyboardInterrupt:
        print("dev.py: interrupted; the same command goes on from here.", file=sys.stderr)
        sys.exit(130)
    environment = prepare.with_bytecode({**os.environ, "COMFYUI_PATH": str(comfyui)})
    hand_over([str(python), str(ROOT / "devtools"), command, *arguments], environment)


def split(argv):
    """The command, and what is for it; a wrong command or --help ends here."""
    parser = argparse.ArgumentParser(
        prog="dev.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["demo", "test", "serve", "bench", "new-node", "lock"])
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="see 'dev.py COMMAND --help'")
    known = parser.parse_args(argv)
    return known.command, known.arguments


def host_and_python(locate, prepare, with_tests):
    """ComfyUI's folder and the Python to run it with: the user's own, or ours, made now if need be."""
    modules = locate.TEST_MODULES if with_tests else locate.HOST_MODULES
    comfyui = locate.existing_comfyui(Path(__file__).absolute().parent)
    python = locate.python_of(comfyui, modules) if comfyui else None
    comfyui = comfyui or prepare.comfyui()
    python = python or prepare.environment(with_tests)
    print(f"ComfyUI: {comfyui}\nPython:  {python}", file=sys.stderr, flush=True)
    return python, comfyui


def hand_over(command, environment):
    """Become the command, so that signals and the exit code are its own."""
    if os.name != "nt":
        os.execve(command[0], command, environment)
    process = subprocess.Popen(command, env=environment)
    while True:
        try:
            sys.exit(process.wait())
        except KeyboardInterrupt:  # Ctrl-C reaches the command too, which ends in good order
            continue


if __name__ == "__main__":
    main()
