<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/** Apache with mod_php: its processes come from a master that has loaded PHP, and may be told to load it again. */
final class ApacheTest extends TestCase
{
    private FaultyFirehose $firehose;
    /** @var array<string, string|int> */
    private array $settings;
    private string $log;

    protected function setUp(): void
    {
        parent::setUp();
        if (Apache::missing() !== null) {
            $this->markTestSkipped(Apache::missing());
        }
        $this->firehose = $this->firehose();
        $this->settings = $this->settings($this->firehose);
        $this->log = "{$this->scratch->path}/accepted";
        touch($this->log);
        chmod($this->log, 0666);
    }

    private function apache(array $directives): Apache
    {
        return $this->started(new Apache($this->scratch, $directives, $this->settings));
    }

    /** @return list<resource> */
    private function pour(Apache $apache, float $seconds): array
    {
        return array_map(
            fn ($attempt) => $apache->start('pour', ['attempt' => $attempt, 'seconds' => $seconds, 'every' => 500, 'log' => $this->log]),
            range(1, 3),
        );
    }

    /** @param list<string> $accepted */
    private function assertAllDelivered(array $accepted): void
    {
        // What a killed process left is sent by the next one that puts.
        $this->assertTrue($this->php('exam_stream_put("", \'{"id":"last"}\'); return exam_stream_flush(30);', $this->settings));
        $this->assertSame([], array_diff($accepted, array_keys(self::ids($this->firehose->lines()))));
    }

    public function testReloadsKillsAndRecycledProcessesUnderLoad(): void
    {
        $apache = $this->apache(['StartServers' => 4, 'MaxRequestWorkers' => 8, 'MaxConnectionsPerChild' => 5]);
        $pours = $this->pour($apache, 3);
        $accepted = $pids = [];
        for ($i = 0; $i < 30; $i++) {
            $answer = $apache->result($apache->start('put', ['prefix' => "r$i", 'n' => 20]));
            $this->assertCount(20, $answer['accepted']);
            array_push($accepted, ...$answer['accepted']);
            $pids[$answer['pid']] = true;
            if ($i % 10 === 4) {
                $apache->signal(SIGUSR1); // apachectl graceful
            } elseif ($i % 10 === 9) {
                posix_kill($answer['pid'], SIGKILL);
            }
            usleep(50_000);
        }
        $this->assertGreaterThan(5, count($pids));
        foreach ($pours as $pour) {
            $apache->result($pour);
        }
        $poured = file($this->log, FILE_IGNORE_NEW_LINES);
        $this->assertGreaterThan(100, count($poured));
        $this->assertAllDelivered([...$accepted, ...$poured]);
        $this->assertDoesNotMatchRegularExpression('/Segmentation|Abort|panick/', $apache->logs());
    }

    public function testAStopUnderLoad(): void
    {
        $apache = $this->apache(['StartServers' => 4, 'MaxRequestWorkers' => 8]);
        $this->pour($apache, 20);
        self::eventually(10, fn () => count(file($this->log)) > 100, fn () => 'nothing is put: ' . $apache->logs());
        $apache->signal(SIGTERM); // apachectl stop
        $this->assertLessThan(5, $apache->wait(15) ?? 99, 'seconds until the master had ended');
        $this->assertAllDelivered(file($this->log, FILE_IGNORE_NEW_LINES));
        $this->assertDoesNotMatchRegularExpression('/Segmentation|Abort|panick/', $apache->logs());
    }
}
