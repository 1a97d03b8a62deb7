"""The shipped queries on Apache Flink's own jars: the rows of the embedded engine, and signals on the board."""

import base64
import json
import os
import subprocess
import tempfile
import time
import unittest
import zipfile
from pathlib import Path

import duckdb

import exam

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
SHIPPED = ROOT / 'crates/exam-analysis/sql'
ANALYSE = os.environ.get('EXAM_ANALYSE_BIN', '')
EXAM_STREAM = os.environ.get('EXAM_STREAM_BIN', '')

WINDOWS = '''-- How often each answer was given.
-- signal: answers
SELECT window_start, window_end, site, quiz, slot, JSON_VALUE(fields, '$.answer') AS answer,
  COUNT(*) AS n, COUNT(*) FILTER (WHERE status = 1) AS answered, AVG(CAST(seq AS DOUBLE)) AS seq
FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '30' SECOND, INTERVAL '2' MINUTE))
WHERE type = 'answer'
GROUP BY window_start, window_end, site, quiz, slot, JSON_VALUE(fields, '$.answer')
HAVING COUNT(*) > 1
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


class Scratch(unittest.TestCase):
    maxDiff = 2000

    def scratch(self):
        directory = tempfile.TemporaryDirectory(prefix='exam-stream-flink-')
        self.addCleanup(directory.cleanup)
        return Path(directory.name)


class Dialect(Scratch):
    """Without the embedded engine: what Flink makes of records, against DuckDB."""

    def test_windows_over_what_kinesis_carries_are_those_of_a_plain_group_by(self):
        directory = self.scratch()
        # As it is deployed: one jar.
        jar = directory / 'job.jar'
        with zipfile.ZipFile(jar, 'w') as file:
            for compiled in Path(os.environ['JOB_CLASSES']).rglob('*.class'):
                file.write(compiled, compiled.relative_to(os.environ['JOB_CLASSES']))
            file.writestr('sql/windows.sql', WINDOWS)
            file.writestr('sql/rows.sql', ROWS)
            file.writestr('sql/misspelled.sql', 'SELECT nothing FROM events')
            file.writestr('sql/endless.sql', 'SELECT attempt, COUNT(*) AS n FROM events GROUP BY attempt')
        lines = exam.lines()
        # As the function sends them: some lines a record, not all of them ended by a newline.
        with (directory / 'kinesis.jsonl').open('w') as file:
            for start in range(0, len(lines), 7):
                text = '\n'.join(lines[start:start + 7]) + '\n' * (start % 2)
                file.write(json.dumps({'data': base64.b64encode(text.encode()).decode()}) + '\n')
        rows, signals, log = flink(directory, {'path': str(directory / 'kinesis.jsonl'), 'format': 'json'},
                                   classes=jar, settings={'lateness': '60s'})

        self.assertIn("query misspelled is refused: Column 'nothing' not found", log)
        self.assertIn('query endless is refused: its rows change after they were written', log)
        self.assertEqual(set(rows), {'windows', 'rows'})
        records = [r for r in map(parsed, lines) if r and r.get('type') != 'signal']
        db = duckdb.connect()
        db.execute('create table r (ms bigint, id text, type text, site text, quiz bigint, slot int, status int, seq double, answer text)')
        db.executemany('insert into r values (?, ?, ?, ?, ?, ?, ?, ?, ?)', [
            (int(round(r['ts'] * 1e6) // 1000), r['id'], r['type'], r['site'], r['quiz'], r.get('slot'), r.get('status'), r['seq'],
             r.get('fields', {}).get('answer')) for r in records if 'v' in r and 'ts' in r])
        names = ('window_start', 'window_end', 'site', 'quiz', 'slot', 'answer', 'n', 'answered', 'seq')
        plain = [dict(zip(names, (iso(s), iso(e), *rest)), revision=0) for s, e, *rest in db.execute(PLAIN).fetchall()]
        self.assertGreater(len(plain), 300)
        self.assertEqual(canonical(rows['windows']), canonical(plain))
        # A row is a signal, about the quiz and a slot of it.
        self.assertEqual({s['id'] for s in signals},
                         {f"answers/{r['window_end']}/{exam.SITE}/4//{r['slot']}/0" for r in rows['windows']})
        self.assertEqual({s['type'] for s in signals}, {'signal'})
        helps = {r['id'] for r in records if r.get('type') == 'help'}
        self.assertEqual(len(rows['rows']), len(helps) + 1)
        bare, = [row for row in rows['rows'] if row['word']]
        self.assertEqual((bare['word'], bare['ts'], bare['student_id']), ('s1120', '2025-11-22T08:27:46.500Z', 3))


def parsed(line):
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def iso(moment):
    return moment.strftime('%Y-%m-%dT%H:%M:%S.') + f'{moment.microsecond // 1000:03d}Z'


@unittest.skipUnless(ANALYSE and list(SHIPPED.glob('*.sql')), 'EXAM_ANALYSE_BIN is not built')
class Shipped(Scratch):
    def test_the_shipped_queries_give_the_rows_of_the_embedded_engine_and_reach_the_board(self):
        directory = self.scratch()
        lines = exam.lines(students=60, minutes=20)
        part = directory / 'server/cold/exam/dt=2025-11-22/hour=08/0.jsonl'
        part.parent.mkdir(parents=True)
        part.write_text('\n'.join(lines) + '\n')
        # In the order of their arrival, closed by the watermark as they come.
        rows, signals, log = flink(directory, {'path': str(part), 'format': 'raw'}, SHIPPED)
        self.assertNotIn('is refused', log)

        run = subprocess.run([ANALYSE, 'run', '--cold', directory / 'server', '--queries', SHIPPED, '--out', directory / 'results', '--once'],
                             capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        embedded = {}
        for file in sorted((directory / 'results').glob('[!_]*/dt=*/rows.jsonl')):
            embedded.setdefault(file.parts[-3], []).extend(map(json.loads, file.read_text().splitlines()))
        shipped = {file.stem for file in SHIPPED.glob('*.sql')}
        for name in sorted(shipped):
            with self.subTest(query=name):
                self.assertEqual(canonical(rows.get(name, [])), canonical(embedded.get(name, [])))
            print(f'   {name}: {len(rows.get(name, []))} rows')
        self.assertGreater(sum(map(len, embedded.values())), 100)
