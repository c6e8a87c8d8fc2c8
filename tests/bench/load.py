"""Runs hearth-load, the load generator, and reads what it says."""

import json
import signal
import subprocess

PATIENCE_SECONDS = 300  # beyond the time that was asked for: a slow server's initial syncs and last answers


class Failed(Exception):
    """The server refused what was measured."""


def line(method, target, token, body=None):
    """A request for the load generator; "{n}" in target or body becomes a number of its own."""
    return f"{method}\t{target}\t{token}\t{'' if body is None else json.dumps(body)}\n"


class Load:
    def __init__(self, program):
        self.program = program

    def repeat(self, server, requests, **options):
        """Repeats these requests on some connections: see `hearth-load --help` for the options."""
        return self.measure(server, "repeat", requests, options)

    def fan_out(self, server, requests, **options):
        result = self.measure(server, "fan-out", requests, options)
        if result["answers"] < result["expected"]:
            raise Failed(f"{result['expected'] - result['answers']} of {result['expected']} deliveries did not arrive")
        return result

    def command(self, server, mode, options):
        flags = [part for name, value in options.items() for part in ("--" + name.replace("_", "-"), str(value))]
        return [self.program, mode, server.address, *flags]

    def measure(self, server, mode, requests, options):
        seconds = options.get("seconds", 5) + PATIENCE_SECONDS
        done = subprocess.run(
            self.command(server, mode, options), input="".join(requests), capture_output=True, text=True, timeout=seconds
        )
        if done.returncode != 0:
            raise Failed(done.stderr.strip())
        result = json.loads(done.stdout)
        if result["errors"]:
            raise Failed(f"{result['errors']} errors, the first: {done.stderr.strip()}")
        if not result["answers"]:
            raise Failed("no answer in time")
        return result

    def park(self, server, requests, seconds):
        return Parked(self.command(server, "park", {"seconds": seconds}), requests)


class Parked:
    """Polls that stay parked while the block runs."""

    def __init__(self, command, requests):
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.child.stdin.write("".join(requests))
        self.child.stdin.close()
        self.result = None

    def __enter__(self):
        self.child.stdout.readline()  # all are sent
        return self

    def __exit__(self, *_):
        self.child.send_signal(signal.SIGTERM)
        said = self.child.stdout.read()
        errors = self.child.stderr.read()
        self.child.wait(60)
        self.result = json.loads(said)
        if self.result["errors"]:
            raise Failed(f"{self.result['errors']} of the parked syncs were refused: {errors.strip()}")
