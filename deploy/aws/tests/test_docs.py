"""The commands of docs/aws.md, run in a shell whose programs only note what they are asked; then read by the
parser of the AWS command line and by deploy.sh."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import template

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / 'docs/aws.md').read_text()
BIN = Path(sys.executable).parent
# Everything that a command of the page calls, but for the shell's own words.
PROGRAMS = ('aws', 'deploy.sh', 'exam-stream', 'gunzip', 'head', 'php', 'pip', 'scp', 'sleep', 'ssh', 'sudo', 'rm', 'cat')
NOTE = f'''#!{sys.executable}
import json, os, sys
with open(os.environ['CALLS'], 'a') as calls:
    calls.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + '\\n')
print('vpc-0123456789abcdef0')
'''
# Each command in turn; a usage that is wrong ends the command line, others it answers with a code.
READ = '''
import json, sys
from awscli.clidriver import create_clidriver

def code(call):
    try:
        return create_clidriver().main(call)
    except SystemExit as end:
        return end.code

print(json.dumps([code(call) for call in json.load(sys.stdin)]))
'''


def blocks():
    return [re.sub(r'^ +', '', block, flags=re.M) if block.startswith('  ') else block
            for block in re.findall(r'```sh\n(.*?)```', TEXT, re.S)]


def inline():
    """Commands within sentences and tables."""
    spans = re.findall(r'`(aws [^`]+)`', re.sub(r'```.*?```', '', TEXT, flags=re.S))
    return [span.replace('\\|', '|') for span in spans]


class Commands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        (cls.home / 'bin').mkdir()
        (cls.home / 'deploy/aws').mkdir(parents=True)
        for program in PROGRAMS:
            path = cls.home / ('deploy/aws' if program == 'deploy.sh' else 'bin') / program
            path.write_text(NOTE)
            path.chmod(0o755)
        (cls.home / 'bin/date').symlink_to('/bin/date')
        stack = re.search(r'^stack\(\) .*$', TEXT, re.M)[0]
        cls.calls = []
        for text in [*blocks(), *inline()]:
            calls = cls.home / 'calls'
            calls.write_text('')
            # In order, so `stack` is known to what comes after it; nothing is written outside.
            script = stack + '\nstate_url=redis://localhost\n' + text.replace('/tmp/', f'{cls.home}/')
            run = subprocess.run(['/bin/sh', '-eu', '-c', script], capture_output=True, text=True, cwd=cls.home,
                                 env={'PATH': str(cls.home / 'bin'), 'CALLS': str(calls)})
            assert run.returncode == 0, (text, run.stderr)
            cls.calls += map(json.loads, calls.read_text().splitlines())

    def of(self, program):
        return [call[1:] for call in self.calls if call[0] == program]

    def test_the_aws_command_line_knows_every_command_and_option(self):
        asked = self.of('aws')
        self.assertGreater(len(asked), 20)
        # Nobody listens there, and a command that is understood goes as far as asking.
        config = self.home / 'config'
        config.write_text('[default]\ncli_connect_timeout = 1\nmax_attempts = 1\n')
        (self.home / 'erasure/cold').mkdir(parents=True)
        (self.home / 'failed').mkdir()
        program = self.home / 'read.py'
        program.write_text(READ)
        calls = [call for call in asked if call[0] not in ('configure', 'sso')]
        run = subprocess.run([BIN / 'python', program], input=json.dumps(calls), capture_output=True, text=True, cwd=self.home,
                             env={'PATH': '/usr/bin:/bin', 'AWS_CONFIG_FILE': str(config), 'AWS_ACCESS_KEY_ID': 'AK', 'AWS_SECRET_ACCESS_KEY': 'sk',
                                  'AWS_DEFAULT_REGION': 'eu-west-1', 'AWS_ENDPOINT_URL': 'http://127.0.0.1:9', 'AWS_MAX_ATTEMPTS': '1'})
        self.assertEqual(run.returncode, 0, run.stderr)
        codes = json.loads(run.stdout.splitlines()[-1])
        # 252: the command line cannot be parsed, or a parameter is none of the operation's.
        misread = [' '.join(call) for call, code in zip(calls, codes) if code in (252, 2)]
        self.assertEqual(misread, [], run.stderr)
        self.assertNotIn('Parameter validation failed', run.stderr)
        self.assertNotIn('Unknown options', run.stderr)

    def test_deploy_sh_takes_what_the_page_gives_it(self):
        asked = self.of('deploy.sh')
        self.assertEqual({word for call in asked for word in call if word in ('deploy', 'ini', 'delete')}, {'deploy', 'ini', 'delete'})
        for call in asked:
            if 'ini' in call:
                continue
            run = subprocess.run(['sh', ROOT / 'deploy/aws/deploy.sh', '--dry-run', *call], capture_output=True, text=True,
                                 env={'PATH': f'{self.home / "bin"}:/usr/bin:/bin', 'HOME': str(self.home), 'CALLS': os.devnull})
            self.assertEqual(run.returncode, 0, run.stderr)

    def test_parameters_and_alarms_that_are_named_are_the_templates(self):
        known = template.load()
        # Those in a command are deploy.sh's to know.
        parameters = set(re.findall(r'`([A-Z]\w+)=\w+`', TEXT))
        self.assertGreater(len(parameters), 2)
        self.assertLessEqual(parameters, set(known['Parameters']))
        table = TEXT[TEXT.index('## What the alarms mean'):TEXT.index('## Security')]
        told = set(re.findall(r'`([A-Z][A-Za-z]+)`', ' '.join(re.findall(r'^\| (`.*?) \|', table, re.M))))
        alarms = {name for name, about in known['Resources'].items() if about['Type'] == 'AWS::CloudWatch::Alarm'}
        self.assertEqual(told, alarms)


if __name__ == '__main__':
    unittest.main()
