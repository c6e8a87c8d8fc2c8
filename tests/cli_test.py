#!/usr/bin/env python3
"""The command line, as far as it needs no database, and the sample configuration, which must be what the program writes.

cli_test.py HEARTH
"""

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = ("serve", "generate-config", "check-config", "check-database", "migrate", "create-user", "routes", "version")
KEY_LINE = re.compile(r"^ed25519 a_[a-z0-9]{6} [A-Za-z0-9+/]{43}\n$")


def hearth(*arguments, stdin=None, folder=None):
    return subprocess.run([PROGRAM, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=60, cwd=folder)


class CommandLine(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = Path(self.folder.name)

    def test_every_command_explains_itself(self):
        listing = hearth("--help")
        self.assertEqual(listing.returncode, 0)
        for command in COMMANDS:
            self.assertIn(f"  {command} ", listing.stdout)
            for option in ("--help", "-h"):
                answer = hearth(command, option)
                self.assertEqual((answer.returncode, answer.stderr), (0, ""), command)
                self.assertTrue(answer.stdout.startswith(f"Usage: hearth {command}"), command)

    def test_what_is_not_understood_ends_with_2(self):
        for arguments in ((), ("nonsense",), *((command, "--nonsense") for command in COMMANDS), ("serve", "x"), ("version", "x"),
                          ("generate-config",), ("create-user", "a", "b"), ("generate-config", "-s", "a", "--sample")):
            answer = hearth(*arguments)
            self.assertEqual((answer.returncode, answer.stdout), (2, ""), arguments)
            self.assertIn("Usage: hearth", answer.stderr)

    def test_version(self):
        self.assertRegex(hearth("version").stdout, r"^Hearth \d+\.\d+\.\d+\n$")

    def test_routes_are_three_columns(self):
        lines = hearth("routes").stdout.splitlines()
        self.assertIn("GET\t/health\tnone", lines)
        for line in lines:
            self.assertRegex(line, r"^(GET|PUT|POST|DELETE)\t/\S+\t(none|optional|user|admin|server)$")
        self.assertEqual(len(lines), len(set(lines)))

    def test_generate_config_makes_what_a_start_needs(self):
        data, config = self.path / "new" / "data", self.path / "homeserver.yaml"
        data.parent.mkdir()
        answer = hearth("generate-config", "--server-name", "example.org", "--data-directory", data, "--output", config)
        self.assertEqual((answer.returncode, answer.stderr), (0, ""))
        key = data / "example.org.signing.key"
        self.assertRegex(key.read_text(), KEY_LINE)
        self.assertEqual([path.stat().st_mode & 0o777 for path in (key, config, data)], [0o600, 0o600, 0o700])
        self.assertEqual(list(data.iterdir()), [key])
        self.assertEqual(hearth("check-config", config).stdout, f"{config}: fit to start with\n")

        before = (key.read_text(), config.read_text())
        again = hearth("generate-config", "-s", "example.org", "-d", data, "-o", config)
        self.assertEqual(again.returncode, 1)
        self.assertIn("is there already", again.stderr)
        self.assertEqual((key.read_text(), config.read_text()), before)

    def test_generate_config_prints(self):
        answer = hearth("generate-config", "-s", "localhost", folder=self.path)
        self.assertEqual(answer.returncode, 0)
        self.assertIn("\nserver_name: localhost\n", answer.stdout)
        self.assertEqual(list(self.path.iterdir()), [])
        self.assertEqual(hearth("generate-config", "-s", "no name").returncode, 1)

    def test_the_sample_is_up_to_date(self):
        sample = ROOT / "config" / "homeserver.sample.yaml"
        self.assertEqual(sample.read_text(), hearth("generate-config", "--sample").stdout, "write it anew: hearth generate-config --sample")

    def test_check_config_names_the_line_of_each_fault(self):
        config = self.path / "homeserver.yaml"
        config.write_text("server_name: example.org\nmax_upload_size: big\nno_such: 1\nlog:\n  level: loud\nreport_stats: true\n")
        answer = hearth("check-config", config)
        self.assertEqual(answer.returncode, 1)
        self.assertEqual(
            answer.stdout.splitlines(),
            [
                f"{config}:2: error: 'max_upload_size' must be a size: a number of bytes, or a number followed by K, M, G or T",
                f"{config}:3: warning: Unknown option 'no_such'",
                f"{config}:5: error: 'log.level' must be one of debug, info, warning, error",
                f"{config}:6: note: 'report_stats' is not used here: nothing is ever reported",
            ],
        )
        self.assertEqual(hearth("check-config", self.path / "none.yaml").returncode, 1)

    def test_check_config_reads_the_certificate(self):
        config = self.path / "homeserver.yaml"
        config.write_text("server_name: example.org\nlisteners: [{port: 8448, tls: true}]\ntls_certificate_path: no.crt\ntls_private_key_path: no.key\n")
        answer = hearth("check-config", config)
        self.assertIn(f"{config}:3: {'error' if os.geteuid() == 0 else 'warning'}: {self.path}/no.crt: ", answer.stdout)
        self.assertEqual(answer.returncode, 1 if os.geteuid() == 0 else 0)
        config.write_text(config.read_text().replace("tls: true", "tls: false"))
        self.assertEqual(hearth("check-config", config).stdout, f"{config}: fit to start with\n")

    def test_a_bad_configuration_does_not_start(self):
        config = self.path / "homeserver.yaml"
        config.write_text("server_name: example.org\nworkers: 0\n")
        answer = hearth("serve", "--config", config)
        self.assertEqual(answer.returncode, 1)
        self.assertIn(f"{config}:2: error: 'workers' must be from 1 to 256", answer.stderr)

    def test_an_address_that_is_none_does_not_start(self):
        answer = hearth("serve", "--listen", "localhost")
        self.assertEqual(answer.returncode, 2)
        self.assertIn("'localhost' is not ADDRESS:PORT", answer.stderr)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
