<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/** A bad setting is a startup warning that names it and the fix; the default stays in force, but for addresses. */
final class SettingsTest extends TestCase
{
    public static function bad(): array
    {
        return [
            ['region', 'Europe!', ''],
            ['stream', 'two words', ''],
            ['spool_dir', 'relative', '/var/lib/exam-stream/spool'],
            ['spool_max_bytes', '1T', '1G'],
            ['spool_max_bytes', '0', '1G'],
            ['sync_ms', 'often', '500'],
            ['linger_ms', '-1', '50'],
            ['aggregate_bytes', '2M', '64K'],
            ['sender', 'on', 'auto'],
            ['shutdown_ms', '1e3', '1500'],
            ['state_timeout_ms', '0', '150'],
            ['log', 'relative.log', 'error_log'],
        ];
    }

    /** @dataProvider bad */
    #[\PHPUnit\Framework\Attributes\DataProvider('bad')]
    public function testABadValueIsAWarningAndTheDefaultIsUsed(string $name, string $value, string $default): void
    {
        $process = $this->phpProcess("return ini_get('exam_stream.$name');", [$name => $value, 'display_errors' => '0', 'log_errors' => '1']);
        $process->wait(10);
        $this->assertSame($default, json_decode(file_get_contents($process->log . '.out')));
        $warning = file_get_contents($process->log);
        $this->assertStringContainsString("exam_stream.$name must be ", $warning);
        $this->assertStringContainsString("got \"$value\", using \"$default\"", $warning);
    }

    public static function badAddresses(): array
    {
        return [
            ['endpoint', 'firehose.eu-west-1.amazonaws.com', 'firehose.eu-west-1.amazonaws.com', 'is not a URL'],
            ['endpoint', 'http://127.0.0.1:99999', 'http://127.0.0.1:99999', 'is not a URL'],
            ['state_url', 'localhost:6379', 'localhost:6379', 'the state URL is not usable'],
            ['state_url', 'user:geheim@localhost:6379', '***@localhost:6379', 'the state URL is not usable'],
        ];
    }

    /** @dataProvider badAddresses */
    #[\PHPUnit\Framework\Attributes\DataProvider('badAddresses')]
    public function testABadAddressIsAWarningAndRecordsWaitForItsMending(string $name, string $value, string $shown, string $trouble): void
    {
        $firehose = $this->firehose();
        $redis = $this->redis();
        $good = $this->settings($firehose, ['state_url' => $redis->url, 'shutdown_ms' => 100]);
        $process = $this->phpProcess(
            'exam_stream_put("", \'{"id":"1"}\'); $end = microtime(true) + 5;
            do { usleep(10000); $stats = exam_stream_stats(); $said = $stats["last_error"] . $stats["fold_hold"]; } while ($said === "" && microtime(true) < $end);
            return [$said, min($stats["delivered"], $stats["folded"])];',
            [$name => $value, 'error_log' => '', 'display_errors' => '0'] + $good,
        );
        $process->wait(15);
        $warning = file_get_contents($process->log);
        $this->assertStringContainsString("exam_stream.$name must be ", $warning);
        $this->assertStringContainsString("got \"$shown\", records wait in the spool", $warning);
        [$said, $passed] = json_decode(file_get_contents($process->log . '.out'));
        $this->assertStringContainsString($trouble, $said);
        $this->assertStringNotContainsString('geheim', $warning . $said);
        $this->assertSame(0, $passed);

        $stats = $this->php('exam_stream_put("", \'{"id":"2"}\'); exam_stream_flush(10); $end = microtime(true) + 10;
            do { usleep(10000); $stats = exam_stream_stats(); } while ($stats["folded"] < 2 && microtime(true) < $end); return $stats;', $good);
        $this->assertSame([2, 2], [$stats['delivered'], $stats['folded']]);
    }

    public function testALogThatCannotBeOpenedIsToldInPhpsOwn(): void
    {
        $this->php('return exam_stream_put("", "{}");', $this->settings(null, ['log' => '/nonexistent/exam.log', 'shutdown_ms' => 0]));
        $log = file_get_contents($this->scratch->path . '/php.log');
        $this->assertStringContainsString('exam_stream.log /nonexistent/exam.log cannot be opened', $log);
    }

    public function testSizesTakeSuffixes(): void
    {
        foreach (['65536' => 65536, '64k' => 65536, '3M' => 3 << 20, '2G' => 2 << 30] as $value => $bytes) {
            $this->assertSame($bytes, $this->php('exam_stream_put("exam", "{}"); return exam_stream_stats()["limit"];', $this->settings(null, ['spool_max_bytes' => (string) $value, 'sender' => 'off'])));
        }
    }

    public function testAPageCannotChangeThem(): void
    {
        $this->assertFalse($this->php('return ini_set("exam_stream.spool_dir", "/tmp/x");', $this->settings(null)));
    }

    public function testThePoolDecides(): void
    {
        $other = $this->scratch->webDir('other');
        $fpm = $this->fpm($this->settings(null, ['sender' => 'off']), [
            'one' => [],
            'two' => ['php_admin_value[exam_stream.spool_dir]' => "$other/spool"],
        ]);
        $fpm->run('put', ['prefix' => 'a', 'n' => 3], 'one');
        $fpm->run('put', ['prefix' => 'b', 'n' => 5], 'two');
        $this->assertSame([3, 5], [$fpm->run('stats', [], 'one')['accepted'], $fpm->run('stats', [], 'two')['accepted']]);
        $this->assertDirectoryExists("$other/spool");
    }
}
