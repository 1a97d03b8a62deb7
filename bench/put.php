<?php
/**
 * One put of a 200-byte record beside an empty extension call and, where it is
 * loaded, beside php-rdkafka's produce() (in memory only) and produce() + flush().
 *
 *   php -d extension=exam_stream … bench/put.php [hot puts] [paced seconds]
 *
 * Each call is timed by itself (hrtime, whose own cost is in every row). "hot" is
 * a closed loop, "paced" 1,000 calls a second, when caches are cold.
 */

$hot = (int) ($argv[1] ?? 200000);
$seconds = (int) ($argv[2] ?? 10);

$record = json_encode(['v' => 1, 'id' => '17-5f3c09a1b2c3d4e5-0a1b2c3d.9f8e7d6c-1', 'type' => 'answer', 'ts' => 1700000000.123456,
    'site' => 's', 'quiz' => 1, 'attempt' => 17, 'qa' => 5, 'slot' => 1, 'status' => 1, 'fields' => ['answer' => '']]);
$record = str_replace('"answer":""', '"answer":"' . str_repeat('x', 200 - strlen($record)) . '"', $record);
$array = json_decode($record, true);

$calls = [
    'empty extension call' => static fn () => gc_enabled(),
    'exam_stream_put, JSON' => static fn () => exam_stream_put('exam', $record),
    'exam_stream_put, array' => static fn () => exam_stream_put('exam', $array),
];
if (class_exists('RdKafka\Producer')) {
    $conf = new RdKafka\Conf();
    $conf->set('test.mock.num.brokers', '1');
    $conf->set('queue.buffering.max.messages', '1000000');
    $conf->setDrMsgCb(static fn () => null);
    $producer = new RdKafka\Producer($conf);
    $topic = $producer->newTopic('exam');
    $calls['rdkafka produce (memory only)'] = static function () use ($topic, $producer, $record) {
        $topic->produce(RD_KAFKA_PARTITION_UA, 0, $record);
        $producer->poll(0);
    };
    $durable = static function () use ($topic, $producer, $record) {
        $topic->produce(RD_KAFKA_PARTITION_UA, 0, $record);
        $producer->flush(1000);
    };
}

printf("%d-byte record; spool on %s, sync %s ms, endpoint %s; PHP %s %s\n\n", strlen($record), ini_get('exam_stream.spool_dir'),
    ini_get('exam_stream.sync_ms'), ini_get('exam_stream.endpoint'), PHP_VERSION, PHP_ZTS ? 'ZTS' : 'NTS');
printf("%-40s %10s %8s %8s %8s %8s %10s\n", 'µs', 'calls', 'p50', 'p99', 'p99.9', 'mean', 'max');

$empty = [];
foreach (['hot', 'paced'] as $pace) {
    foreach ($calls as $name => $call) {
        for ($i = 0; $i < 1000; $i++) {
            $call();
        }
        $times = $pace === 'hot' ? hot($call, $hot) : paced($call, $seconds);
        report("$pace: $name", $times, $empty[$pace] ?? null);
        $empty[$pace] ??= $times;
    }
    if (isset($durable)) {
        report("$pace: rdkafka produce + flush (mock broker)", $pace === 'hot' ? hot($durable, 2000) : paced($durable, 1), $empty[$pace]);
    }
}

exam_stream_flush(60);
$stats = exam_stream_stats();
printf("\naccepted %d, refused %d, delivered %d; sender %s\n", $stats['accepted'], $stats['refused'], $stats['delivered'],
    $stats['sender_pid'] === getmypid() ? 'in this process' : ($stats['sender_pid'] ?? 'none'));

/** @return list<int> nanoseconds, sorted */
function hot(callable $call, int $count): array
{
    $times = [];
    for ($i = 0; $i < $count; $i++) {
        $start = hrtime(true);
        $call();
        $times[] = hrtime(true) - $start;
    }
    sort($times);
    return $times;
}

/** @return list<int> */
function paced(callable $call, int $seconds): array
{
    $times = [];
    $next = hrtime(true);
    for ($i = 0; $i < $seconds * 1000; $i++) {
        $next += 1_000_000;
        $wait = intdiv($next - hrtime(true), 1000);
        if ($wait > 0) {
            usleep($wait);
        }
        $start = hrtime(true);
        $call();
        $times[] = hrtime(true) - $start;
    }
    sort($times);
    return $times;
}

/**
 * @param list<int> $times
 * @param list<int>|null $empty
 */
function report(string $name, array $times, ?array $empty): void
{
    $n = count($times);
    $at = static fn (array $t, float $q) => $t[(int) min(count($t) - 1, count($t) * $q)] / 1000;
    printf("%-40s %10d %8.2f %8.2f %8.2f %8.2f %10.1f", $name, $n, $at($times, 0.5), $at($times, 0.99), $at($times, 0.999), array_sum($times) / $n / 1000, end($times) / 1000);
    if ($empty !== null) {
        printf('   p50 %.2f µs above the empty call', $at($times, 0.5) - $at($empty, 0.5));
    }
    echo "\n";
}
