<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/** exam_stream_state(): what was put is read back, byte for byte; a store that cannot be asked is an exception in time. */
final class StateTest extends TestCase
{
    /** @param array<string, mixed> $fields */
    private static function answer(int $slot, int $seq, array $fields): string
    {
        return 'exam_stream_put("", ' . var_export(json_encode([
            'v' => 1, 'id' => "7-p-$seq", 'type' => 'answer', 'ts' => 1700000000.5 + $seq, 'at' => 1700000000.25 + $seq, 'site' => 'here', 'quiz' => 3,
            'attempt' => 7, 'usage' => 70, 'qa' => 100 + $slot, 'slot' => $slot, 'student_id' => 5, 'page' => 'p', 'seq' => $seq, 'status' => 1, 'fields' => $fields,
        ]), true) . ');';
    }

    /** @return array<string, string|int> */
    private function withRedis(Redis $redis): array
    {
        return $this->settings(null, ['state_url' => $redis->url, 'state_timeout_ms' => 300, 'shutdown_ms' => 0]);
    }

    public function testAnswersComeBackByteForByteAndTheNewestWins(): void
    {
        $odd = ['answer' => "ü \u{1F600} \"quoted\" \\ \n\t<b>&amp;</b>", ':sequencecheck' => '2', '' => 'no name', '1' => 'numeric', 'long' => str_repeat('é', 5000)];
        $state = $this->php(
            self::answer(1, 1, ['answer' => 'first']) . self::answer(2, 2, $odd) . self::answer(1, 3, ['answer' => 'second'])
            . '$end = microtime(true) + 10;
            while ((!($state = exam_stream_state("here", 7)) || count($state["slots"]) < 2 || $state["slots"][1]["seq"] < 3) && microtime(true) < $end) usleep(5000);
            return $state;',
            $this->withRedis($this->redis()),
        );
        $this->assertSame(['here', 7, 3, 70, 5, 's21'], [$state['site'], $state['attempt'], $state['quiz'], $state['usage'], $state['student_id'], $state['word']]);
        $this->assertSame($odd, $state['slots'][2]['fields']);
        $this->assertSame(
            ['qa' => 101, 'status' => 1, 'at' => 1700000003.25, 'ts' => 1700000003.5, 'page' => 'p', 'seq' => 3, 'id' => '7-p-3', 'saved' => false, 'flagged' => false, 'changed' => true, 'fields' => ['answer' => 'second']],
            $state['slots'][1],
        );
    }

    public function testCallsForHelpSignalsAndDevicesAreInTheState(): void
    {
        $record = ['v' => 1, 'ts' => 1700000000.5, 'site' => 'here', 'quiz' => 3, 'attempt' => 7, 'page' => 'p'];
        $browser = ['device' => 'f00d', 'address' => '0123456789abcdef', 'agent' => 'fedcba9876543210'];
        $text = "<b>\u{202e}?\n";
        $put = '';
        foreach ([
            ['id' => 'h', 'seq' => 1, 'type' => 'help', 'call' => 'h', 'step' => 'asked', 'by' => 5, 'text' => $text, 'slot' => 2] + $browser,
            ['id' => 'i', 'seq' => 1, 'type' => 'help', 'call' => 'h', 'step' => 'taken', 'by' => 9, 'ts' => 1700000009.5],
            ['id' => 's', 'type' => 'signal', 'name' => 'fast', 'at' => 1700000060.25, 'row' => ['n' => 2, 'share' => 0.5]],
        ] as $more) {
            $put .= 'exam_stream_put("", ' . var_export(json_encode($more + $record, JSON_PRESERVE_ZERO_FRACTION), true) . ');';
        }
        $state = $this->php(
            $put . '$end = microtime(true) + 10;
            while ((!($state = exam_stream_state("here", 7)) || !$state["signals"] || count($state["help"]["h"]) < 2) && microtime(true) < $end) usleep(5000);
            return $state;',
            $this->withRedis($this->redis()),
        );
        $this->assertEquals([
            'asked' => ['ts' => 1700000000.5, 'by' => 5, 'slot' => 2, 'text' => $text],
            'taken' => ['ts' => 1700000009.5, 'by' => 9, 'slot' => null, 'text' => null],
        ], $state['help']['h']);
        $this->assertSame(['fast' => ['at' => 1700000060.25, 'revision' => 0, 'row' => ['n' => 2, 'share' => 0.5]]], $state['signals']);
        $this->assertSame([$browser + ['first' => 1700000000.5, 'last' => 1700000000.5]], $state['devices']);
        $this->assertSame([false, 1, 1, 1700000000.5], [$state['devices_at_once'], $state['addresses'], $state['agents'], $state['last_seen']]);
    }

    public function testAnUnknownAttemptIsNull(): void
    {
        $this->assertNull($this->php('return exam_stream_state("here", 12345);', $this->withRedis($this->redis())));
    }

    public function testAnotherSiteSeesNothing(): void
    {
        $states = $this->php(
            self::answer(1, 1, ['answer' => 'x']) . '$end = microtime(true) + 10;
            while (!($state = exam_stream_state("here", 7)) && microtime(true) < $end) usleep(5000);
            return [$state !== null, exam_stream_state("there", 7)];',
            $this->withRedis($this->redis()),
        );
        $this->assertSame([true, null], $states);
    }

    private const ASK = 'exam_stream_state("warm", 1); %s $start = microtime(true);
        try { exam_stream_state("here", 7); return "answered"; }
        catch (ExamStream\StateException $e) { return [$e->getMessage(), microtime(true) - $start, $e instanceof RuntimeException, $e->getLine() > 0]; }';

    public function testAStoreThatIsGoneIsAnExceptionInTime(): void
    {
        $redis = $this->redis();
        [$message, $seconds, $runtime, $line] = $this->php(sprintf(self::ASK, "posix_kill({$redis->pid}, SIGKILL); usleep(50000);"), $this->withRedis($redis));
        $this->assertStringContainsString('state store', $message);
        $this->assertLessThan(0.6, $seconds);
        $this->assertSame([true, true], [$runtime, $line]);
    }

    public function testAStoreThatHangsIsAnExceptionInTime(): void
    {
        $redis = $this->redis();
        [$message, $seconds] = $this->php(sprintf(self::ASK, "posix_kill({$redis->pid}, SIGSTOP);"), $this->withRedis($redis));
        posix_kill($redis->pid, SIGCONT);
        $this->assertStringContainsString('300ms', $message);
        $this->assertGreaterThan(0.25, $seconds);
        $this->assertLessThan(0.6, $seconds);
    }

    public function testAStoreThatComesBackIsAskedAgain(): void
    {
        $redis = $this->redis();
        $answers = $this->php(
            'exam_stream_state("here", 1); posix_kill(' . $redis->pid . ', SIGSTOP);
            try { exam_stream_state("here", 7); } catch (ExamStream\StateException $e) { $failed = true; }
            posix_kill(' . $redis->pid . ', SIGCONT);
            return [$failed ?? false, exam_stream_state("here", 7)];',
            $this->withRedis($redis),
        );
        $this->assertSame([true, null], $answers);
    }

    public function testAForkedChildAsksOnItsOwnConnection(): void
    {
        $answers = $this->php(
            self::answer(1, 1, ['answer' => 'x']) . '$end = microtime(true) + 10;
            while (!exam_stream_state("here", 7) && microtime(true) < $end) usleep(5000);
            $children = [];
            for ($i = 0; $i < 4; $i++) {
                if (($pid = pcntl_fork()) === 0) {
                    for ($n = 0; $n < 200; $n++) { if (exam_stream_state("here", 7)["slots"][1]["seq"] !== 1 || exam_stream_state("here", 8) !== null) exit(1); }
                    exit(0);
                }
                $children[] = $pid;
            }
            for ($n = 0; $n < 200; $n++) { if (exam_stream_state("here", 7)["slots"][1]["seq"] !== 1) return "parent"; }
            return array_map(function ($pid) { pcntl_waitpid($pid, $status); return $status; }, $children);',
            $this->withRedis($this->redis()),
        );
        $this->assertSame([0, 0, 0, 0], $answers);
    }

    public function testNoStoreIsAnExceptionThatNamesTheSetting(): void
    {
        $this->assertStringContainsString('exam_stream.state_url', $this->php('try { exam_stream_state("here", 7); } catch (ExamStream\StateException $e) { return $e->getMessage(); }', $this->settings(null)));
    }
}
