<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/** However a process ends or forks: no hang, no crash, nothing lost. */
final class LifecycleTest extends TestCase
{
    /** @param array<string, string|int> $settings */
    private function drain(array $settings, FaultyFirehose $firehose, int $expected): void
    {
        // The next process that puts sends what the dead ones left.
        $this->assertTrue($this->php('exam_stream_put("", \'{"id":"last"}\'); return exam_stream_flush(30);', $settings));
        $this->assertCount($expected + 1, self::ids($firehose->lines()));
    }

    public function testAScriptThatJustEndsHasDelivered(): void
    {
        $firehose = $this->firehose();
        $this->php('return exam_stream_put("", \'{"id":"1"}\');', $this->settings($firehose));
        $this->assertCount(1, $firehose->lines());
    }

    public function testASenderThatIsOffStartsNoThread(): void
    {
        $threads = $this->php('exam_stream_put("", "{}"); return count(scandir("/proc/self/task")) - 2;', $this->settings(null, ['sender' => 'off']));
        $this->assertSame(1, $threads);
    }

    public function testThreadAndSpoolAppearWithTheFirstPutOnly(): void
    {
        $settings = $this->settings($this->firehose());
        [$before, $spool, $after] = $this->php('
            $threads = fn () => count(scandir("/proc/self/task")) - 2;
            $before = $threads(); $spool = is_dir(ini_get("exam_stream.spool_dir"));
            exam_stream_put("", "{}");
            return [$before, $spool, $threads()];', $settings);
        $this->assertSame([1, false, 2], [$before, $spool, $after]);
    }

    public function testTheSenderRunsNoSignalHandlers(): void
    {
        $firehose = $this->firehose();
        $signals = $this->php('
            $seen = []; pcntl_async_signals(true);
            pcntl_signal(SIGUSR1, function () use (&$seen) { $seen[] = 1; });
            exam_stream_put("", "{}");
            for ($i = 0; $i < 200; $i++) { posix_kill(posix_getpid(), SIGUSR1); usleep(100); }
            $status = file_get_contents("/proc/self/task/" . max(scandir("/proc/self/task")) . "/status");
            preg_match("/SigBlk:\s*(\w+)/", $status, $m);
            return [count($seen), hexdec(substr($m[1], -8)) & (1 << (SIGUSR1 - 1))];', $this->settings($firehose));
        $this->assertGreaterThan(100, $signals[0]);
        $this->assertNotSame(0, $signals[1]);
    }

    public function testBothSidesOfAForkPut(): void
    {
        $firehose = $this->firehose();
        $settings = $this->settings($firehose);
        $ended = $this->php('
            $put = fn ($who, $n) => array_map(fn ($i) => exam_stream_put("", json_encode(["id" => "$who-$i"])) ?: die("refused"), range(1, $n));
            $put("before", 50);
            $children = [];
            for ($c = 0; $c < 5; $c++) {
                $pid = pcntl_fork();
                if ($pid === 0) { $put("child$c", 50); exit(0); }
                $children[] = $pid;
                $put("parent$c", 50);
            }
            $codes = array_map(function ($pid) { pcntl_waitpid($pid, $status); return $status; }, $children);
            $put("after", 50);
            return [$codes, exam_stream_flush(20)];', $settings);
        $this->assertSame([[0, 0, 0, 0, 0], true], $ended);
        $this->drain($settings, $firehose, 50 * 12);
        $this->assertSame(1, max(self::ids($firehose->lines())), 'no child sent its parent\'s records again');
    }

    public function testAChildForkedWhileTheSenderStartsCanSend(): void
    {
        // The parent's sender may be anywhere in its start, with any lock held, when the fork comes.
        $firehose = $this->firehose();
        $settings = $this->settings($firehose, ['shutdown_ms' => 0]);
        for ($round = 0; $round < 30; $round++) {
            $out = $this->scratch->path . "/round$round";
            $this->phpProcess('
                exam_stream_put("", \'{"id":"parent-' . $round . '"}\'); usleep(' . $round * 200 . ');
                if (pcntl_fork() === 0) {
                    posix_kill(posix_getppid(), SIGKILL);
                    exam_stream_put("", \'{"id":"child-' . $round . '"}\');
                    file_put_contents("' . $out . '", json_encode(exam_stream_flush(10)));
                    exit;
                }
                sleep(30);', $settings);
            self::eventually(15, fn () => is_file($out) && filesize($out) > 0, fn () => 'the child hangs');
            $this->assertSame('true', file_get_contents($out), "round $round");
        }
        $this->assertCount(60, self::ids($firehose->lines()));
    }

    public function testAChildOutlivesAKilledParent(): void
    {
        $firehose = $this->firehose();
        $settings = $this->settings($firehose);
        $out = $this->scratch->path . '/child';
        $this->phpProcess('
            for ($i = 0; $i < 100; $i++) exam_stream_put("", json_encode(["id" => "parent-$i"]));
            if (pcntl_fork() === 0) {
                $parent = posix_getppid();
                exam_stream_put("", \'{"id":"child-0"}\');
                posix_kill($parent, SIGKILL);
                exam_stream_put("", \'{"id":"child-1"}\');
                file_put_contents("' . $out . '", json_encode([exam_stream_flush(20), exam_stream_stats()["sender_pid"] === getmypid()]));
                exit;
            }
            sleep(30);', $settings)->wait(30);
        self::eventually(25, fn () => is_file($out) && filesize($out) > 0, fn () => 'the child hangs');
        $this->assertSame('[true,true]', file_get_contents($out));
        $this->assertCount(102, self::ids($firehose->lines()));
    }

    public function testSigtermToTheMasterUnderLoad(): void
    {
        $firehose = $this->firehose();
        $settings = $this->settings($firehose);
        $fpm = $this->fpm($settings, ['www' => ['pm.max_children' => '3']]);
        $log = $this->accepted();
        for ($attempt = 1; $attempt <= 3; $attempt++) {
            $fpm->start('pour', ['attempt' => $attempt, 'seconds' => 20, 'every' => 500, 'log' => $log]);
        }
        sleep(2);
        $fpm->signal(SIGTERM);
        $this->assertLessThan(5, $fpm->wait(15) ?? 99, 'seconds until the master had ended');
        $accepted = file($log, FILE_IGNORE_NEW_LINES);
        $this->assertGreaterThan(100, count($accepted));
        $this->assertTrue($this->php('exam_stream_put("", \'{"id":"last"}\'); return exam_stream_flush(30);', $settings));
        $this->assertSame([], array_diff($accepted, array_keys(self::ids($firehose->lines()))));
        $this->assertStringNotContainsString('SIGSEGV', $fpm->logs());
    }

    public function testWorkersThatEndAfterFiveRequestsUnderLoad(): void
    {
        $firehose = $this->firehose();
        $settings = $this->settings($firehose);
        $fpm = $this->fpm($settings, ['www' => ['pm.max_children' => '3', 'pm.max_requests' => '5']]);
        $pids = [];
        $slowest = 0;
        for ($i = 0; $i < 60; $i++) {
            $start = microtime(true);
            $answer = $fpm->run('put', ['prefix' => "r$i", 'n' => 20]);
            $slowest = max($slowest, microtime(true) - $start);
            $this->assertCount(20, $answer['accepted']);
            $pids[$answer['pid']] = true;
        }
        $this->assertGreaterThan(9, count($pids));
        $this->assertLessThan(2.5, $slowest, 'the slowest request waits for no recycling worker, s');
        $this->drain($settings, $firehose, 1200);
        $this->assertStringNotContainsString('SIG', $fpm->logs());
    }

    public function testWorkersThatAreTerminatedForTakingTooLong(): void
    {
        $firehose = $this->firehose();
        $settings = $this->settings($firehose, ['linger_ms' => 3000]);
        $fpm = $this->fpm($settings, ['www' => ['request_terminate_timeout' => '1s']]);
        foreach (['a', 'b', 'c'] as $prefix) {
            try {
                $fpm->run('sleep', ['prefix' => $prefix, 'n' => 30, 'log' => $this->accepted()]);
                $this->fail('the worker was not terminated');
            } catch (\RuntimeException $e) {
                $this->assertStringContainsString('died', $e->getMessage());
            }
        }
        $this->drain($settings, $firehose, 90);
    }

    public function testASecondUserIsRefusedWithASentence(): void
    {
        if (posix_getuid() !== 0 || posix_getpwnam('nobody') === false) {
            $this->markTestSkipped('needs root and the user nobody');
        }
        $firehose = $this->firehose();
        $settings = $this->settings($firehose);
        $fpm = $this->fpm($settings, ['www' => [], 'other' => ['user' => 'nobody', 'group' => 'nogroup']]);
        $this->assertCount(5, $fpm->run('put', ['prefix' => 'first', 'n' => 5])['accepted']);
        $this->assertCount(0, $fpm->run('put', ['prefix' => 'second', 'n' => 5], 'other')['accepted']);
        $stats = $fpm->run('stats', [], 'other');
        $sentence = sprintf('belongs to user %d', posix_getpwnam(Env::webUser())['uid']);
        $this->assertStringContainsString($sentence, $stats['last_error']);
        $this->assertCount(5, $fpm->run('put', ['prefix' => 'third', 'n' => 5])['accepted'], 'the first user is not disturbed');
    }

    public function testRootPutsIntoTheSpoolOfTheWebServer(): void
    {
        if (posix_getuid() !== 0) {
            $this->markTestSkipped('needs root');
        }
        $firehose = $this->firehose();
        $settings = $this->settings($firehose);
        $fpm = $this->fpm($settings);
        $fpm->run('put', ['prefix' => 'web', 'n' => 5]);
        $this->assertTrue($this->php('exam_stream_put("", \'{"id":"root-1"}\'); exam_stream_put("other", \'{"id":"root-2"}\'); return exam_stream_flush(20);', $settings));
        $this->php('return exam_stream_put("", \'{"id":"root-3"}\');', ['sender' => 'off'] + $settings);
        $owner = posix_getpwnam(Env::webUser())['uid'];
        foreach (glob($settings['spool_dir'] . '/*') as $file) {
            $this->assertSame($owner, fileowner($file), basename($file));
        }
        $this->assertCount(5, $fpm->run('put', ['prefix' => 'more', 'n' => 5])['accepted']);
        self::eventually(10, fn () => count($firehose->lines()) === 12, fn () => count($firehose->lines()) . ' of 12 delivered');
    }

    public function testAnUnusableSpoolIsFalseCountedAndToldOnce(): void
    {
        $settings = $this->settings(null, ['spool_dir' => '/proc/no/spool']);
        $stats = $this->php('for ($i = 0; $i < 50; $i++) { if (exam_stream_put("", "{}")) die("accepted"); } return exam_stream_stats();', $settings);
        $this->assertSame(50, $stats['refused']);
        $this->assertStringContainsString('/proc/no/spool', $stats['last_error']);
        $this->assertSame(1, substr_count(file_get_contents($this->scratch->path . '/exam_stream.log'), '/proc/no/spool'));
    }

    public function testASpoolThatBecomesUsableIsUsedWithoutARestart(): void
    {
        $settings = $this->settings(null, ['sender' => 'off']);
        $parent = dirname($settings['spool_dir']);
        rmdir($parent);
        [$before, $after] = $this->php("
            \$before = exam_stream_put('', '{}'); mkdir('$parent'); \$end = microtime(true) + 5;
            while (!(\$after = exam_stream_put('', '{}')) && microtime(true) < \$end) usleep(50000);
            return [\$before, \$after];", $settings);
        $this->assertSame([false, true], [$before, $after]);
    }

    public function testClearEnvLeavesTheKeysOfTheMaster(): void
    {
        $firehose = $this->firehose();
        putenv('AWS_ACCESS_KEY_ID=AKIDMASTER');
        putenv('AWS_SECRET_ACCESS_KEY=secret');
        try {
            $fpm = $this->fpm($this->settings($firehose), ['www' => ['clear_env' => 'yes']]);
        } finally {
            putenv('AWS_ACCESS_KEY_ID');
            putenv('AWS_SECRET_ACCESS_KEY');
        }
        $fpm->run('put', ['prefix' => 'a']);
        self::eventually(5, fn () => $firehose->lines() !== [], fn () => 'nothing delivered: ' . json_encode($fpm->run('stats')));
        $this->assertStringContainsString('AKIDMASTER', $firehose->lastAuthorization());
    }

    private function accepted(): string
    {
        $file = $this->scratch->path . '/accepted';
        touch($file);
        chmod($file, 0666);
        return $file;
    }
}
