"""Renders one chat template in this process: {template, variables, seconds} on stdin, {text} or {error} on stdout.

Run as a script by `chat_template`; the environment is that of transformers' own, in which templates are written.
"""

import json
import sys
from datetime import datetime

MOST_MEMORY = 1 << 30
MOST_TEXT = 1 << 20
OLDEST = (3, 1, 6)  # before it, templates could get out of the sandbox


def limit(seconds: float) -> None:
    """No more than this time and memory, and no file written; Windows knows the time alone, held by the parent."""
    try:
        import resource
    except ImportError:
        return
    most = round(seconds) + 1
    for kind, value in (("RLIMIT_AS", MOST_MEMORY), ("RLIMIT_CPU", most), ("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0)):
        try:
            resource.setrlimit(getattr(resource, kind), (value, value))
        except (AttributeError, OSError, ValueError):  # not on this system, or lower already
            continue


def render(template: str, variables: dict) -> str:
    import jinja2
    import jinja2.ext
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if tuple(int(part) for part in jinja2.__version__.split(".")[:3]) < OLDEST:
        raise ImportError(f"jinja2 is {jinja2.__version__}, but 3.1.6 is needed: pip install -U jinja2")

    class Generation(jinja2.ext.Extension):
        """`{% generation %}` marks what a model says, for trainings; here it changes nothing."""

        tags = {"generation"}

        def parse(self, parser):
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(str(message))

    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    text, length = [], 0
    for part in made.from_string(template).generate(**variables):
        text.append(part)
        length += len(part)
        if length > MOST_TEXT:
            raise ValueError(f"it makes more than {MOST_TEXT} characters")
    return "".join(text)


def main() -> None:
    sys.path += sys.argv[1:]
    asked = json.load(sys.stdin.buffer)
    limit(asked["seconds"])
    try:
        told = {"text": render(asked["template"], asked["variables"])}
        json.dumps(told, ensure_ascii=False).encode()
    except Exception as error:  # a stranger's program: whatever it raises is told, and this process is over
        told = {"error": f"{type(error).__name__}: {error}"[:500]}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
