"""deploy.sh against a stand-in of the AWS command line that notes what it is asked."""

import hashlib
import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / 'deploy.sh'

# Answers by the words before the first option; whatever else is asked succeeds in silence.
AWS = r'''#!/usr/bin/env python3
import json, os, sys
home = os.environ['FAKE_AWS']
with open(f'{home}/calls', 'a') as calls:
    calls.write(json.dumps(sys.argv[1:]) + '\n')
words = ' '.join(sys.argv[1:3])
answers = json.load(open(f'{home}/answers'))
for key, answer in answers.items():
    if key == words or all(part in ' '.join(sys.argv[1:]) for part in key.split(' & ')):
        if isinstance(answer, list):  # one after the other
            first, *rest = answer
            answers[key] = rest or [first]
            json.dump(answers, open(f'{home}/answers', 'w'))
            answer = first
        if answer is None:
            sys.exit(254)
        print(answer)
        break
'''


class Deploy(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.home = Path(directory.name)
        program = self.home / 'bin' / 'aws'
        program.parent.mkdir()
        program.write_text(AWS)
        program.chmod(0o755)
        self.zip = self.home / 'function.zip'
        self.zip.write_bytes(b'code')
        self.jar = self.home / 'job.jar'
        self.jar.write_bytes(b'job')
        self.answers = {
            'sts get-caller-identity': '123456789012',
            "OutputKey=='Region'": 'eu-west-1',
            "OutputKey=='Stream'": 'exam',
            "OutputKey=='StateUrl'": 'dynamodb://exam-stream-Table-1',
            "OutputKey=='StateSecret'": 'None',
            "OutputKey=='Bucket'": 'cold',
            "OutputKey=='Table'": 'exam-stream-Table-1',
            "OutputKey=='Key'": 'arn:aws:kms:eu-west-1:123456789012:key/1',
            'kinesisanalyticsv2 describe-application': None,
        }

    def run_script(self, *words, typed=''):
        (self.home / 'answers').write_text(json.dumps(self.answers))
        (self.home / 'calls').write_text('')
        run = subprocess.run(
            ['sh', SCRIPT, *words], input=typed, capture_output=True, text=True,
            env={'PATH': f'{self.home}/bin:/usr/bin:/bin', 'HOME': str(self.home), 'FAKE_AWS': str(self.home),
                 'AWS_REGION': 'eu-west-1'})
        self.calls = [json.loads(line) for line in (self.home / 'calls').read_text().splitlines()]
        return run

    def called(self, *words):
        return [call for call in self.calls if call[:len(words)] == list(words)]

    def test_a_dry_run_prints_the_commands_in_order_and_asks_aws_nothing(self):
        run = self.run_script('--dry-run', '--region', 'us-east-1', 'deploy', 'StateStore=valkey', 'Analysis=yes', 'Architecture=x86_64')
        self.assertEqual((run.returncode, run.stdout, self.calls), (0, '', []), run.stderr)
        steps = [line.removeprefix('+ ') for line in run.stderr.splitlines()]
        heads = [' '.join(step.split()[:3]) for step in steps]
        self.assertEqual(heads, [
            'aws s3api create-bucket', 'aws s3api put-public-access-block', 'aws s3api put-bucket-policy',
            'cargo lambda build', 'aws s3 cp', 'mvn --batch-mode --quiet', 'aws s3 cp', 'aws cloudformation deploy',
            'aws kinesisanalyticsv2 start-application'])
        self.assertNotIn('LocationConstraint', steps[0])
        self.assertIn('--x86-64', steps[3])

    def test_what_a_dry_run_prints_is_what_a_shell_would_run(self):
        run = self.run_script('--dry-run', '--stack', "it's", 'deploy')
        step = run.stderr.splitlines()[-1].removeprefix('+ ')
        words = subprocess.run(['sh', '-c', f'for w in {step}; do printf "%s\\n" "$w"; done'], capture_output=True, text=True).stdout
        self.assertIn("\nit's\n", words)

    def test_code_is_named_by_its_content_so_that_cloudformation_sees_it_change(self):
        run = self.run_script('--zip', str(self.zip), 'deploy', 'AlarmEmail=a@example.org')
        self.assertEqual(run.returncode, 0, run.stderr)
        key = f'fold-{hashlib.sha256(b"code").hexdigest()[:16]}.zip'
        bucket = 'exam-stream-code-123456789012-eu-west-1'
        copied, = self.called('s3', 'cp')
        self.assertEqual(copied[-1], f's3://{bucket}/{key}')
        stack, = self.called('cloudformation', 'deploy')
        self.assertEqual(stack[stack.index('--parameter-overrides') + 1:],
                         ['AlarmEmail=a@example.org', f'CodeBucket={bucket}', f'FunctionKey={key}'])
        # Whatever takes tags is found by them in Cost Explorer.
        tags = stack.index('--tags')
        self.assertEqual(stack[tags + 1:tags + 3], ['project=exam-stream', 'stack=exam-stream'])
        # The bucket is there, and nothing is analysed.
        self.assertEqual(self.called('s3api', 'create-bucket') + self.called('kinesisanalyticsv2'), [])

    def test_a_code_bucket_that_is_missing_is_made_without_public_access(self):
        self.answers['s3api head-bucket'] = None
        self.assertEqual(self.run_script('--zip', str(self.zip), 'deploy').returncode, 0)
        made, = self.called('s3api', 'create-bucket')
        self.assertIn('LocationConstraint=eu-west-1', made)
        self.assertIn('"arn:aws:s3:::exam-stream-code-', ' '.join(self.called('s3api', 'put-bucket-policy')[0]))
        policy, = self.called('s3api', 'put-bucket-policy')
        self.assertEqual(json.loads(policy[-1])['Statement'][0]['Effect'], 'Deny')
        self.assertEqual(len(self.called('s3api', 'put-public-access-block')), 1)

    def test_the_analysis_is_started_the_first_time_only(self):
        for status, starts in (('READY', 1), ('RUNNING', 0)):
            self.answers['kinesisanalyticsv2 describe-application'] = status
            run = self.run_script('--zip', str(self.zip), '--jar', str(self.jar), 'deploy', 'Analysis=yes')
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertEqual(len(self.called('kinesisanalyticsv2', 'start-application')), starts)

    def test_a_misspelled_parameter_is_refused_before_anything_is_done(self):
        for wrong in ('StateStor=valkey', 'valkey'):
            run = self.run_script('deploy', wrong)
            self.assertEqual((run.returncode, self.calls), (1, []))
            self.assertIn(wrong.split('=')[0], run.stderr)

    def test_a_deployment_that_fails_fails(self):
        self.answers['cloudformation deploy'] = None
        self.assertNotEqual(self.run_script('--zip', str(self.zip), 'deploy').returncode, 0)

    def test_ini_prints_settings_that_php_reads(self):
        self.answers["OutputKey=='StateUrl'"] = 'rediss://exam:PASSWORD@cache.example:6379/0'
        self.answers["OutputKey=='StateSecret'"] = 'arn:secret'
        self.answers['secretsmanager get-secret-value'] = '{"password":"s3cret","username":"exam"}'
        run = self.run_script('ini')
        self.assertEqual(run.returncode, 0, run.stderr)
        settings = dict(line.split(' = ', 1) for line in run.stdout.splitlines() if ' = ' in line)
        self.assertEqual(settings, {'exam_stream.region': 'eu-west-1', 'exam_stream.stream': 'exam',
                                    'exam_stream.state_url': '"rediss://exam:s3cret@cache.example:6379/0"'})
        # Nowhere but in the settings.
        self.assertNotIn('s3cret', run.stderr + json.dumps(self.calls))

    def test_ini_of_a_stack_with_a_table_needs_no_secret(self):
        run = self.run_script('ini')
        self.assertIn('exam_stream.state_url = "dynamodb://exam-stream-Table-1"\n', run.stdout)
        self.assertEqual(self.called('secretsmanager'), [])

    def test_nothing_is_deleted_unless_the_stacks_name_is_typed(self):
        run = self.run_script('delete', typed='yes\n')
        self.assertEqual((run.returncode, self.called('cloudformation', 'delete-stack')), (1, []))

    def test_records_outlive_the_stack_unless_they_are_named(self):
        self.assertEqual(self.run_script('delete', typed='exam-stream\n').returncode, 0)
        self.assertEqual(len(self.called('cloudformation', 'delete-stack')), 1)
        self.assertEqual(self.called('s3api') + self.called('dynamodb') + self.called('kms'), [])

    def test_what_goes_with_the_stack_and_what_is_kept_are_said(self):
        run = self.run_script('delete', typed='exam-stream\n')
        for said in ('its queues, its logs', 'what Firehose has not', 'Kept: the bucket cold, the table exam-stream-Table-1'):
            self.assertIn(said, run.stderr)

    def test_the_stack_is_not_gone_on_with_when_deleting_it_fails(self):
        self.answers['cloudformation wait'] = None
        self.assertNotEqual(self.run_script('--yes', 'delete', '--with-data').returncode, 0)
        self.assertEqual(self.called('s3api') + self.called('dynamodb') + self.called('kms'), [])

    def test_with_data_every_version_of_every_object_goes(self):
        page = json.dumps({'Objects': [{'Key': 'cold/a', 'VersionId': '1'}]})
        self.answers['s3api list-object-versions'] = [page, page, '{"Objects": []}']
        run = self.run_script('--yes', 'delete', '--with-data')
        self.assertEqual(run.returncode, 0, run.stderr)
        # Said even where nothing is asked.
        self.assertIn('Every record of every exam in cold is deleted, for good, and the state in exam-stream-Table-1.', run.stderr)
        self.assertEqual(len(self.called('s3api', 'delete-objects')), 2)
        self.assertEqual(self.called('s3api', 'delete-bucket')[0][-1], 'cold')
        self.assertEqual(self.called('dynamodb', 'delete-table')[0][-1], 'exam-stream-Table-1')
        self.assertEqual(len(self.called('kms', 'schedule-key-deletion')), 1)


if __name__ == '__main__':
    unittest.main()
