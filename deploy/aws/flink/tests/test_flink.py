"""The shipped queries on Apache Flink's own jars: the rows of the embedded engine, and signals on the board."""

import base64
import json
import os
import re
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request
import zipfile
from pathlib import Path

import duckdb

import exam

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
SHIPPED = ROOT / 'queries'
ANALYSE = os.environ.get('EXAM_ANALYSE_BIN', '')
EXAM_STREAM = os.environ.get('EXAM_STREAM_BIN', '')
EXTENSION = os.environ.get('EXAM_STREAM_SO', '')

WINDOWS = '''-- How often each answer was given.
-- signal: answers
SELECT window_start, window_end, site, quiz, slot, JSON_VALUE(fields, '$.answer') AS answer,
  COUNT(*) AS n, COUNT(*) FILTER (WHERE status = 1) AS answered, AVG(CAST(seq AS DOUBLE)) AS seq
FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '30' SECOND, INTERVAL '2' MINUTE))
WHERE type = 'answer'
GROUP BY window_start, window_end, site, quiz, slot, JSON_VALUE(fields, '$.answer')
HAVING COUNT(*) > 1
'''
PACE = '''-- signal: pace
SELECT window_start, window_end, site, quiz, attempt, COUNT(*) AS answers
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
WHERE attempt IS NOT NULL AND type IN ('answer', 'started')
GROUP BY window_start, window_end, site, quiz, attempt
'''
ROWS = '''SELECT ts, edited, attempt, student_id, help_call, help_step, word FROM events WHERE type = 'help' OR word IS NOT NULL;
'''
# For DuckDB, over a table of (ms, id, type, site, quiz, slot, status, seq, answer).
PLAIN = '''
SELECT epoch_ms(w) s, epoch_ms(w + 120000) e, site, quiz, slot, answer, count(*), count(*) FILTER (WHERE status = 1), avg(seq)
FROM (SELECT DISTINCT ON (id) * FROM r WHERE type = 'answer'),
  LATERAL (SELECT unnest(range(ms // 30000 * 30000 - 90000, ms // 30000 * 30000 + 30000, 30000)) w)
GROUP BY ALL HAVING count(*) > 1'''


def flink(directory, source, queries=None, classes=None, settings=None):
    """Runs the job between files: rows by query, signals, and what it logged. Without a folder the queries
    are those in the jar."""
    out = directory / 'out'
    groups = {'source': {'connector': 'filesystem', **source}, 'exam-stream': settings or {},
              'rows': {'connector': 'filesystem', 'path': str(out / 'rows'), 'format': 'raw'},
              'signals': {'connector': 'filesystem', 'path': str(out / 'signals'), 'format': 'raw'}}
    properties = directory / 'properties.json'
    properties.write_text(json.dumps([{'PropertyGroupId': n, 'PropertyMap': m} for n, m in groups.items()]))
    began = time.monotonic()
    run = subprocess.run(
        ['java', '-Xmx1g', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Dlog4j2.level=WARN', f'-Djava.io.tmpdir={directory}',
         '--add-opens', 'java.base/java.util=ALL-UNNAMED', '--add-opens', 'java.base/java.lang=ALL-UNNAMED',
         '-cp', f"{classes or os.environ['JOB_CLASSES']}:{os.environ['FLINK_JARS']}", 'examstream.Job', '--properties', properties,
         *(['--sql', queries] if queries else [])],
        capture_output=True, text=True)
    log = run.stdout + run.stderr
    assert run.returncode == 0, log
    print(f'   Flink: {time.monotonic() - began:.1f} s', flush=True)

    def written(name):
        return [line for file in sorted((out / name).glob('part-*')) for line in file.read_text().splitlines()]

    rows = {}
    for line in written('rows'):
        row = json.loads(line)
        rows.setdefault(row.pop('query'), []).append(row)
    return rows, [json.loads(line) for line in written('signals')], log


def canonical(rows):
    def value(v):
        return f'{v:.9g}' if isinstance(v, float) else json.dumps(v)
    return sorted(tuple((name, value(row[name])) for name in sorted(row)) for row in rows)


class FromKinesisToTheBoard(unittest.TestCase):
    """What Kinesis would carry, through the job as it is deployed (one jar), to rows, signals and the state."""

    maxDiff = 2000

    @classmethod
    def setUpClass(cls):
        cls.directory = Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix='exam-stream-flink-')))
        jar = cls.directory / 'job.jar'
        with zipfile.ZipFile(jar, 'w') as file:
            for compiled in Path(os.environ['JOB_CLASSES']).rglob('*.class'):
                file.write(compiled, compiled.relative_to(os.environ['JOB_CLASSES']))
            file.writestr('sql/windows.sql', WINDOWS)
            file.writestr('sql/pace.sql', PACE)
            file.writestr('sql/rows.sql', ROWS)
            file.writestr('sql/misspelled.sql', 'SELECT nothing FROM events')
            file.writestr('sql/timeless.sql', 'SELECT attempt FROM events')
            file.writestr('sql/endless.sql', WINDOWS.replace('BY window_start, window_end', 'BY window_end').replace('window_start, ', ''))
        cls.lines = exam.lines()
        # As the function sends them: some lines a record, not all of them ended by a newline.
        with (cls.directory / 'kinesis.jsonl').open('w') as file:
            for start in range(0, len(cls.lines), 7):
                text = '\n'.join(cls.lines[start:start + 7]) + '\n' * (start % 2)
                file.write(json.dumps({'data': base64.b64encode(text.encode()).decode()}) + '\n')
        cls.rows, cls.signals, cls.log = flink(
            cls.directory, {'path': str(cls.directory / 'kinesis.jsonl'), 'format': 'json'}, classes=jar, settings={'lateness': '60s'})
        cls.records = [r for r in map(parsed, cls.lines) if r and r.get('type') != 'signal']

    def test_a_query_that_cannot_run_is_named_and_the_others_run(self):
        self.assertIn("query misspelled is refused: Column 'nothing' not found", self.log)
        self.assertIn('query endless is refused: its rows change after they were written', self.log)
        self.assertIn('query timeless is refused: its rows do not say when they are', self.log)
        self.assertEqual(set(self.rows), {'windows', 'pace', 'rows'})

    def test_windows_are_those_of_a_plain_group_by(self):
        db = duckdb.connect()
        db.execute('create table r (ms bigint, id text, type text, site text, quiz bigint, slot int, status int, seq double, answer text)')
        db.executemany('insert into r values (?, ?, ?, ?, ?, ?, ?, ?, ?)', [
            (int(round(r['ts'] * 1e6) // 1000), r['id'], r['type'], r['site'], r['quiz'], r.get('slot'), r.get('status'), r['seq'],
             r.get('fields', {}).get('answer')) for r in self.records if 'v' in r and 'ts' in r])
        names = ('window_start', 'window_end', 'site', 'quiz', 'slot', 'answer', 'n', 'answered', 'seq')
        plain = [dict(zip(names, (iso(s), iso(e), *rest)), revision=0) for s, e, *rest in db.execute(PLAIN).fetchall()]
        self.assertGreater(len(plain), 300)
        self.assertEqual(canonical(self.rows['windows']), canonical(plain))

    def test_rows_without_a_window_and_bare_records_pass(self):
        helps = {r['id'] for r in self.records if r.get('type') == 'help'}
        self.assertEqual(len(self.rows['rows']), len(helps) + 1)
        bare, = [row for row in self.rows['rows'] if row['word']]
        self.assertEqual((bare['word'], bare['ts'], bare['student_id']), ('s1120', '2025-11-22T08:27:46.500Z', 3))

    def test_a_row_about_a_quiz_or_an_attempt_is_a_signal(self):
        self.assertEqual(
            {s['id'] for s in self.signals},
            {f"answers/{r['window_end']}/{exam.SITE}/4//{r['slot']}/0" for r in self.rows['windows']}
            | {f"pace/{r['window_end']}/{exam.SITE}/4/{r['attempt']}//0" for r in self.rows['pace']})
        self.assertEqual({s['type'] for s in self.signals}, {'signal'})

    @unittest.skipUnless(EXAM_STREAM, 'EXAM_STREAM_BIN is not built')
    def test_signals_that_come_back_through_firehose_are_in_the_state_and_on_the_board(self):
        store, port = f'redis://127.0.0.1:{free_port()}/0', free_port()
        self.start(store[len('redis://'):-2], 'redis-server', '--bind', '127.0.0.1', '--port', store[:-2].split(':')[-1],
                   '--save', '', '--dir', self.directory)
        self.start(f'127.0.0.1:{port}', EXAM_STREAM, 'serve', '--listen', f'127.0.0.1:{port}', '--dir', self.directory / 'server',
                   '--stream', 'exam', '--state', store)
        # First what Flink's sink sends, then the exam: their order is nobody's to rely on.
        delivered = [json.dumps(s) for s in self.signals] + self.lines
        for start in range(0, len(delivered), 500):
            put_record_batch(port, delivered[start:start + 500])
        expected = {}
        for row in sorted(self.rows['pace'], key=lambda r: r['window_end']):
            expected[row['attempt']] = {name: value for name, value in row.items() if name != 'revision'}
        found, file = {}, self.directory / 'state.json'
        for _ in range(300):
            subprocess.run([EXAM_STREAM, 'state', '--state', store, '--json', file], check=True, capture_output=True)
            attempts = json.loads(file.read_text()).values()
            found = {a['attempt']: a['signals']['pace']['row'] for a in attempts if a['site'] == exam.SITE and 'pace' in a['signals']}
            if found == expected:
                break
            time.sleep(0.1)
        self.assertEqual(found, expected)
        self.on_the_board(store, expected)

    def on_the_board(self, store, expected):
        if not EXTENSION:
            print('   The board is not read by PHP: EXAM_STREAM_SO is not built', flush=True)
            return
        read = subprocess.run(
            ['php', '-n', '-d', f'extension={EXTENSION}', '-d', f'exam_stream.state_url={store}',
             '-d', f'exam_stream.spool_dir={self.directory}/spool', '-d', 'exam_stream.state_timeout_ms=10000',
             '-r', f'echo json_encode(exam_stream_board("{exam.SITE}", 4), JSON_PRESERVE_ZERO_FRACTION);'],
            capture_output=True, text=True)
        board = parsed(read.stdout)
        self.assertIsNotNone(board, read.stdout + read.stderr)
        self.assertEqual({int(attempt): row['signals']['pace']['row'] for attempt, row in board['rows'].items()}, expected)
        latest = {}
        for row in self.rows['windows']:
            latest[f"answers/{row['slot']}"] = max(latest.get(f"answers/{row['slot']}", ''), row['window_end'])
        self.assertEqual({name: signal['row']['window_end'] for name, signal in board['signals'].items()}, latest)

    def start(self, address, *command):
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (server.terminate(), server.wait()))
        host, port = address.split(':')
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    return
            time.sleep(0.1)
        self.fail(f'{command[0]} does not listen')


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def put_record_batch(port, lines):
    """One call of the Firehose API, a line a record, as Flink's sink sends them."""
    body = json.dumps({'DeliveryStreamName': 'exam',
                       'Records': [{'Data': base64.b64encode(line.encode() + b'\n').decode()} for line in lines]})
    call = urllib.request.Request(f'http://127.0.0.1:{port}/', body.encode(), {
        'Content-Type': 'application/x-amz-json-1.1', 'X-Amz-Target': 'Firehose_20150804.PutRecordBatch'})
    with urllib.request.urlopen(call) as answer:
        assert json.load(answer)['FailedPutCount'] == 0


def parsed(line):
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def iso(moment):
    return moment.strftime('%Y-%m-%dT%H:%M:%S.') + f'{moment.microsecond // 1000:03d}Z'


@unittest.skipUnless(ANALYSE and list(SHIPPED.glob('*.sql')), 'EXAM_ANALYSE_BIN is not built')
class Shipped(unittest.TestCase):
    maxDiff = 2000

    def test_the_shipped_queries_give_the_rows_of_the_embedded_engine(self):
        directory = Path(self.enterContext(tempfile.TemporaryDirectory(prefix='exam-stream-flink-')))
        lines = exam.lines(students=60, minutes=20)
        part = directory / 'server/cold/exam/dt=2025-11-22/hour=08/0.jsonl'
        part.parent.mkdir(parents=True)
        part.write_text('\n'.join(lines) + '\n')
        # In the order of their arrival, closed by the watermark as they come.
        rows, signals, log = flink(directory, {'path': str(part), 'format': 'raw'}, SHIPPED)
        # Tables of reference are the embedded engine's only, and it is given none here either.
        refused = re.findall(r'query (\S+) is refused: (.*)', log)
        self.assertEqual([(name, why) for name, why in refused if not re.match(r"Object '\w+' not found", why)], [])
        for name, why in refused:
            print(f'   {name}: left out, {why}')

        run = subprocess.run([ANALYSE, 'run', '--cold', directory / 'server', '--queries', SHIPPED, '--out', directory / 'results', '--once'],
                             capture_output=True, text=True)
        # It refuses the same ones, and says so in the end as well.
        status = json.loads((directory / 'results/_status.json').read_text())
        self.assertEqual(sorted(status['refused']), sorted(name for name, _ in refused), run.stderr)
        self.assertEqual(run.returncode, int(bool(refused)), run.stderr)
        embedded = {}
        for file in sorted((directory / 'results').glob('[!_]*/dt=*/rows.jsonl')):
            embedded.setdefault(file.parts[-3], []).extend(map(json.loads, file.read_text().splitlines()))
        shipped = {file.stem for file in SHIPPED.glob('*.sql')}
        for name in sorted(shipped):
            with self.subTest(query=name):
                self.assertEqual(canonical(rows.get(name, [])), canonical(embedded.get(name, [])))
            print(f'   {name}: {len(rows.get(name, []))} rows')
        self.assertGreater(sum(map(len, embedded.values())), 100)
