<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/**
 * kill -9 under load, with the real local server and a real Redis: every accepted
 * id is in cold storage, and the state is exact.
 */
final class DurabilityTest extends TestCase
{
    private const POURS = 3;

    private Redis $redis;
    private Serve $serve;
    private Fpm $fpm;
    /** @var array<string, string|int> */
    private array $settings;
    private string $log;

    private function path(array $ini = []): void
    {
        $this->redis = $this->redis();
        $this->serve = $this->serve($this->redis);
        $this->settings = $this->settings($this->serve, $ini + ['state_url' => $this->redis->url, 'state_timeout_ms' => 2000]);
        $this->fpm = $this->fpm($this->settings, ['www' => ['pm.max_children' => (string) (self::POURS + 1)]]);
        $this->log = $this->scratch->path . '/accepted';
        touch($this->log);
        chmod($this->log, 0666);
    }

    /** @return list<resource> */
    private function pour(float $seconds, int $from = 0): array
    {
        return array_map(fn ($attempt) => $this->fpm->start('pour', ['attempt' => $attempt, 'seconds' => $seconds, 'every' => 1000, 'log' => $this->log, 'from' => $from]), range(1, self::POURS));
    }

    /** @param list<resource> $pours @return list<array<string, mixed>> of those whose worker lived */
    private function results(array $pours): array
    {
        $results = [];
        foreach ($pours as $pour) {
            try {
                $results[] = $this->fpm->result($pour);
            } catch (\RuntimeException $killed) {
                // What its worker accepted before is in the log.
            }
        }
        return $results;
    }

    private function assertNothingLostAndStateExact(float $seconds = 60): void
    {
        $accepted = file($this->log, FILE_IGNORE_NEW_LINES);
        $this->assertGreaterThan(300, count($accepted));
        $missing = [];
        self::eventually($seconds, function () use ($accepted, &$missing) {
            $stored = [];
            foreach ($this->serve->lines() as $line) {
                $stored[json_decode($line, true)['id']] = true;
            }
            $missing = array_filter($accepted, fn ($id) => !isset($stored[$id]));
            return $missing === [];
        }, function () use (&$missing, $accepted) {
            return sprintf('%d of %d accepted are not in cold storage, such as %s; %s', count($missing), count($accepted), reset($missing), json_encode($this->fpm->run('stats')));
        });

        // Of each slot the greatest accepted or stored seq: an answer may be stored whose
        // writer was killed before it could note that it was accepted.
        $expected = [];
        foreach ($this->serve->lines() as $line) {
            $record = json_decode($line, true);
            $seq = &$expected[$record['attempt']][$record['slot']];
            $seq = max($seq ?? -1, $record['seq']);
            unset($seq);
        }
        $wrong = [];
        self::eventually($seconds, function () use ($expected, &$wrong) {
            $states = $this->php(
                'return array_map(fn ($a) => array_map(fn ($s) => [$s["seq"], $s["fields"]["answer"]], exam_stream_state("test", $a)["slots"] ?? []), ' . var_export(array_combine(array_keys($expected), array_keys($expected)), true) . ');',
                $this->settings,
            );
            $wrong = [];
            foreach ($expected as $attempt => $slots) {
                foreach ($slots as $slot => $seq) {
                    if (($states[$attempt][$slot] ?? null) !== [$seq, (string) $seq]) {
                        $wrong["$attempt/$slot"] = [$seq, $states[$attempt][$slot] ?? null];
                    }
                }
            }
            return $wrong === [];
        }, function () use (&$wrong) {
            return 'the state differs: ' . json_encode($wrong);
        });
    }

    public function testAWorkerKilledBetweenPutAndSend(): void
    {
        $this->path(['linger_ms' => 3000]);
        $this->pour(30);
        self::eventually(10, fn () => count(file($this->log)) > 400, fn () => 'nothing is put');
        $workers = $this->fpm->workers();
        foreach ($workers as $pid) {
            posix_kill($pid, SIGKILL);
        }
        self::eventually(10, fn () => !array_intersect($workers, $this->fpm->workers()), fn () => 'the workers live');
        // Workers of the next generation deliver what the dead ones left.
        $this->results($this->pour(1, 1_000_000));
        $this->assertNothingLostAndStateExact();
    }

    public function testTheSenderIsKilledAgainAndAgain(): void
    {
        $this->path();
        $pours = $this->pour(12);
        $takeovers = [];
        for ($i = 0; $i < 2; $i++) {
            $sender = null;
            self::eventually(10, function () use (&$sender) {
                return ($sender = $this->fpm->run('stats')['sender_pid']) !== null;
            }, fn () => 'no sender');
            posix_kill($sender, SIGKILL);
            $takeovers[] = self::eventually(2, function () use ($sender) {
                $now = $this->fpm->run('stats')['sender_pid'];
                return $now !== null && $now !== $sender;
            }, fn () => "nobody takes over from $sender");
            usleep(500_000);
        }
        $this->results($pours);
        $this->assertNothingLostAndStateExact();
        fwrite(STDERR, sprintf("\ntakeover after kill -9 of the sender: %s ms\n", implode(', ', array_map(fn ($s) => round($s * 1000), $takeovers))));
    }

    public function testTheServerIsKilledUnderLoad(): void
    {
        $this->path();
        $pours = $this->pour(8);
        for ($i = 0; $i < 2; $i++) {
            usleep(1_500_000);
            $this->serve->kill();
            usleep(700_000);
            $this->serve = $this->started($this->serve->again($this->scratch, $this->redis));
        }
        $this->assertCount(self::POURS, $this->results($pours));
        $this->assertNothingLostAndStateExact();
        foreach ($this->serve->lines() as $line) {
            $this->assertNotNull(json_decode($line), "torn: $line");
        }
    }

    public function testRedisIsKilledUnderLoadAndComesBackEmpty(): void
    {
        $this->path();
        $pours = $this->pour(6);
        usleep(2_000_000);
        $this->redis->kill();
        usleep(1_000_000);
        $this->redis = $this->started($this->redis->again($this->scratch));
        $this->assertCount(self::POURS, $this->results($pours));
        $this->assertNothingLostAndStateExact();
    }

    public function testTheServerIsDown(): void
    {
        $this->path();
        $down = Env::full() ? 120 : 6;
        $pours = $this->pour($down + 3);
        usleep(1_000_000);
        $this->serve->kill();
        $fold = [];
        $began = microtime(true);
        $before = null;
        while (microtime(true) < $began + $down) {
            $fold[] = $this->foldDelay();
            // Every worker has put by now, and has loaded what that takes.
            if (microtime(true) > $began + 3) {
                $before ??= $this->rss();
            }
            usleep(100_000);
        }
        $while = $this->rss();
        $this->serve = $this->started($this->serve->again($this->scratch, $this->redis));
        $results = $this->results($pours);
        fwrite(STDERR, sprintf(
            "\nendpoint down for %d s: put p99 %.0f µs, slowest %.1f ms; put -> folded at most %.0f ms; memory of the workers %.1f -> %.1f MiB\n",
            $down, max(array_column($results, 'p99_us')), max(array_column($results, 'slowest_us')) / 1000, max($fold) * 1000, $before / 1024, $while / 1024,
        ));
        $this->assertCount(self::POURS, $results);
        $this->assertLessThan(1000, max(array_column($results, 'p99_us')), 'put stays fast, µs');
        $this->assertLessThan(1.0, max($fold), 'the state has each answer within a second');
        $this->assertLessThan($before + 16 * 1024, $while, 'memory stays flat, KiB');
        $this->assertNothingLostAndStateExact();
    }

    public function testRedisIsDown(): void
    {
        $this->path();
        $down = Env::full() ? 120 : 6;
        $pours = $this->pour($down + 3);
        usleep(1_000_000);
        $this->redis->kill();
        $end = microtime(true) + $down;
        $undelivered = [];
        while (microtime(true) < $end) {
            usleep(250_000);
            $undelivered[] = $this->fpm->run('stats')['oldest_undelivered'] ?? 0;
        }
        $this->redis = $this->started($this->redis->again($this->scratch));
        $this->assertCount(self::POURS, $this->results($pours));
        fwrite(STDERR, sprintf("\nRedis down for %d s: oldest undelivered record at most %.0f ms\n", $down, max($undelivered) * 1000));
        $this->assertLessThan(2.0, max($undelivered), 'delivery goes on');
        $this->assertNothingLostAndStateExact();
    }

    /** Seconds from put to the state that has it. */
    private function foldDelay(): float
    {
        return (float) $this->fpm->run('put_until_folded', ['attempt' => 77]);
    }

    /** Resident memory of all workers, KiB. */
    private function rss(): int
    {
        return array_sum(array_map(
            fn ($pid) => (int) preg_replace('/.*VmRSS:\s*(\d+).*/s', '$1', (string) @file_get_contents("/proc/$pid/status")),
            $this->fpm->workers(),
        ));
    }
}
