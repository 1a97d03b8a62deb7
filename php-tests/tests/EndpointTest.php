<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/** What an endpoint can do to us: partial failures, throttling, credentials, streams that are missing or refuse. */
final class EndpointTest extends TestCase
{
    private const PUT = '
        $put = function (string $stream, string $prefix, int $n) {
            for ($i = 0; $i < $n; $i++) { exam_stream_put($stream, json_encode(["id" => "$prefix-$i"])) || die("refused"); } };
        $until = function (callable $holds, float $seconds = 10) { $end = microtime(true) + $seconds;
            while (!$holds() && microtime(true) < $end) usleep(20000);
            return exam_stream_stats(); };
    ';

    public function testOnlyTheFailedHalfOfABatchIsSentAgain(): void
    {
        $firehose = $this->firehose();
        $firehose->fail('half');
        $stats = $this->php(self::PUT . '$put("exam", "r", 500); exam_stream_flush(20); return exam_stream_stats();', $this->settings($firehose, ['aggregate_bytes' => 1]));
        $ids = self::ids($firehose->lines());
        $this->assertCount(500, $ids);
        $this->assertSame(1, max($ids), 'nothing that was taken is sent again');
        $this->assertSame([500, 500, 0], [$stats['accepted'], $stats['delivered'], $stats['quarantined']]);
        $this->assertGreaterThan(400, $stats['retried']);
    }

    public function testThrottlingIsAnsweredByBackingOff(): void
    {
        $firehose = $this->firehose();
        $firehose->fail('throttle');
        $process = $this->phpProcess(self::PUT . '$put("exam", "r", 100); return exam_stream_flush(30);', $this->settings($firehose));
        sleep(3);
        $calls = count($firehose->calls());
        $this->assertGreaterThan(1, $calls);
        $this->assertLessThan(20, $calls, 'calls within three seconds of throttling');
        $firehose->fail('ok');
        $this->assertNotNull($process->wait(40));
        $this->assertCount(100, self::ids($firehose->lines()));
    }

    public function testExpiredCredentialsHoldUntilTheyAreGood(): void
    {
        $firehose = $this->firehose();
        $firehose->fail('expired');
        $process = $this->phpProcess(self::PUT . '
            $put("exam", "r", 100);
            $held = $until(fn () => exam_stream_stats()["streams"]["exam"]["hold"] ?? null);
            return [exam_stream_flush(40), $held, $until(fn () => !exam_stream_stats()["streams"]["exam"]["hold"])];', $this->settings($firehose));
        self::eventually(10, fn () => $firehose->calls() !== [], fn () => 'no call was made');
        sleep(1);
        $firehose->fail('ok');
        $this->assertNotNull($process->wait(50));
        [$flushed, $held, $stats] = json_decode(file_get_contents($process->log . '.out'), true);
        $this->assertTrue($flushed);
        $this->assertStringContainsString('ExpiredToken', $held['streams']['exam']['hold'] ?? 'nothing');
        $this->assertSame([100, 0, null], [$stats['delivered'], $stats['quarantined'], $stats['streams']['exam']['hold']]);
        $this->assertCount(100, self::ids($firehose->lines()));
    }

    public function testAMisspelledStreamBlocksNoOther(): void
    {
        $firehose = $this->firehose();
        $firehose->fail('missing', 'exma');
        $stats = $this->php(self::PUT . '
            for ($i = 0; $i < 10; $i++) { $put("exma", "bad$i", 10); $put("exam", "good$i", 10); }
            return $until(fn () => exam_stream_stats()["delivered"] === 100 && (exam_stream_stats()["streams"]["exma"]["hold"] ?? null));
        ', $this->settings($firehose));
        $this->assertSame([200, 100, 0], [$stats['accepted'], $stats['delivered'], $stats['quarantined']]);
        $this->assertCount(100, self::ids($firehose->lines()));
        $this->assertStringContainsString('ResourceNotFound', $stats['streams']['exma']['hold'] ?? 'nothing');
        $this->assertNull($stats['streams']['exam']['hold']);
        $this->assertStringContainsString('exma', file_get_contents($this->scratch->path . '/exam_stream.log'), 'the log tells it');
    }

    public function testAStreamThatRefusesEverythingIsHeldNotQuarantined(): void
    {
        $firehose = $this->firehose();
        $firehose->fail('refuse');
        $settings = $this->settings($firehose);
        $stats = $this->php(self::PUT . '$put("exam", "r", 200); sleep(3); return exam_stream_stats();', $settings);
        $this->assertSame([200, 0, 0], [$stats['accepted'], $stats['delivered'], $stats['quarantined']]);
        $this->assertStringContainsString('InvalidArgument', $stats['last_error']);
        $firehose->fail('ok');
        $this->assertTrue($this->php('return exam_stream_flush(40);', $settings));
        $this->assertCount(200, self::ids($firehose->lines()));
    }

    public function testOneRefusedRecordAmongOthersIsQuarantined(): void
    {
        $firehose = $this->firehose();
        $firehose->fail('poison');
        $stats = $this->php(self::PUT . '
            $put("exam", "r", 300); $put("exam", "poison", 1); $put("exam", "s", 300);
            exam_stream_flush(30); return exam_stream_stats();', $this->settings($firehose, ['aggregate_bytes' => 2048]));
        $this->assertSame([601, 600, 1], [$stats['accepted'], $stats['delivered'], $stats['quarantined']]);
        $this->assertCount(600, self::ids($firehose->lines()));
    }

    public function testAnEndpointThatNeverAnswersDelaysNoPutAndNoShutdownBeyondItsBound(): void
    {
        $firehose = $this->firehose();
        $firehose->fail('hang');
        $process = $this->phpProcess('
            $slowest = 0;
            for ($i = 0; $i < 1000; $i++) { $start = hrtime(true); exam_stream_put("exam", "{}"); $slowest = max($slowest, hrtime(true) - $start); usleep(500); }
            return $slowest / 1e6;', $this->settings($firehose, ['shutdown_ms' => 500]));
        $seconds = $process->wait(20);
        $this->assertNotNull($seconds);
        $this->assertLessThan(100, json_decode(file_get_contents($process->log . '.out')), 'slowest put, ms');
        $this->assertLessThan(4, $seconds, '0.5 s of puts, 0.5 s of shutdown');
    }

    public function testASpoolAtItsLimitRefusesCountsAndTakesAgainOnceThereIsRoom(): void
    {
        $firehose = $this->firehose();
        $firehose->fail('unavailable');
        file_put_contents($this->scratch->path . '/ok', '{"*":"ok"}');
        [$accepted, $many, $full, $again, $end] = $this->php('
            $line = json_encode(["id" => "x", "fill" => str_repeat("x", 1000)]);
            for ($accepted = 0; exam_stream_put("exam", $line); $accepted++);
            $many = exam_stream_put_many("exam", array_fill(0, 10, $line));
            $full = exam_stream_stats();
            rename("' . $this->scratch->path . '/ok", glob("' . $this->scratch->path . '/firehose*")[0] . "/faults.json");
            exam_stream_flush(40);
            $end = microtime(true) + 10;
            while (!($again = exam_stream_put("exam", $line)) && microtime(true) < $end) usleep(10000);
            exam_stream_flush(20);
            return [$accepted, $many, $full, $again, exam_stream_stats()];
        ', $this->settings($firehose, ['spool_max_bytes' => '256K']));
        $this->assertGreaterThan(100, $accepted);
        $this->assertSame(0, $many);
        $this->assertSame(11, $full['refused']);
        $this->assertLessThanOrEqual($full['limit'], $full['bytes']);
        $this->assertTrue($again, 'a put after the spool had room again');
        $this->assertSame($accepted + 1, $end['delivered']);
        $this->assertCount($accepted + 1, $firehose->lines());
    }

    public function testNoRegionIsSaidInStatsAndNothingIsLost(): void
    {
        $settings = $this->settings(null, ['endpoint' => '', 'region' => '']);
        $stats = $this->php(self::PUT . '$put("exam", "r", 1); return $until(fn () => exam_stream_stats()["last_error"]);', $settings, ['AWS_REGION' => '', 'AWS_DEFAULT_REGION' => '']);
        $this->assertStringContainsString('region', (string) $stats['last_error']);
        $this->assertSame([1, 0], [$stats['accepted'], $stats['delivered']]);
    }
}
