<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/** exam_stream_board(): what changed since a version, no answer's content, an exception in time. */
final class BoardTest extends TestCase
{
    /** @return array<string, string|int> */
    private function withRedis(Redis $redis): array
    {
        return $this->settings(null, ['state_url' => $redis->url, 'state_timeout_ms' => 300, 'shutdown_ms' => 0]);
    }

    /** PHP code: functions to put an answer, and to wait until all that was put is on a board. */
    private const TOOLS = '
        function answer(int $attempt, int $slot, int $seq, string $text, array $more = []): void {
            exam_stream_put("", $more + ["v" => 1, "id" => "$attempt-p-$seq", "type" => "answer", "ts" => 1700000000.5 + $seq,
                "at" => 1700000000.25 + $seq, "site" => "here", "quiz" => 3, "attempt" => $attempt, "usage" => 10 * $attempt,
                "qa" => 100 + $slot, "slot" => $slot, "student_id" => 500 + $attempt, "page" => "p", "seq" => $seq,
                "status" => (int) ($text !== ""), "fields" => ["answer" => $text, ":flagged" => (string) (int) ($slot == 2)]]);
        }
        function folded(): void {
            $end = microtime(true) + 10;
            while ((($s = exam_stream_stats())["folded"] < $s["accepted"] || $s["accepted"] === 0) && microtime(true) < $end) usleep(2000);
        }
        ';

    public function testTheFirstLookShowsAllAndLaterOnesWhatChanged(): void
    {
        [$empty, $all, $none, $delta, $again] = $this->php(
            self::TOOLS . '$empty = exam_stream_board("here", 3);
            answer(7, 1, 1, "the secret answer"); answer(7, 2, 2, "");
            answer(8, 1, 1, "the secret answer"); answer(8, 1, 2, "another secret", ["preview" => true]);
            answer(9, 1, 1, "of another quiz", ["quiz" => 4]); answer(10, 1, 1, "elsewhere", ["site" => "there"]);
            folded(); $all = exam_stream_board("here", 3);
            $none = exam_stream_board("here", 3, $all["version"]);
            answer(7, 1, 3, "changed"); folded();
            return [$empty, $all, $none, exam_stream_board("here", 3, $all["version"]), exam_stream_board("here", 3, 0)];',
            $this->withRedis($this->redis()),
        );
        $this->assertSame(['version' => 0, 'more' => false, 'reset' => false, 'signals' => [], 'rows' => [], 'erased' => []], $empty);
        $this->assertSame([7, 8], array_keys($all['rows']));
        $this->assertSame(
            ['attempt' => 7, 'student_id' => 507, 'usage' => 70, 'preview' => false, 'word' => 's10', 'flags' => '01', 'answered' => 1,
                'slots' => 2, 'lifecycle' => null, 'last_seen' => 1700000002.5, 'counts' => [], 'help' => [], 'signals' => [],
                'devices_at_once' => false, 'addresses' => 0, 'agents' => 0, 'times' => [1 => 1700000001.25, 2 => 1700000002.25]],
            $all['rows'][7],
        );
        $this->assertSame([true, 's2'], [$all['rows'][8]['preview'], $all['rows'][8]['word']]);
        $this->assertStringNotContainsString('secret', json_encode($all));
        $this->assertSame(['version' => $all['version'], 'more' => false, 'reset' => false, 'signals' => [], 'rows' => [], 'erased' => []], $none);
        $this->assertSame([[7], 's20'], [array_keys($delta['rows']), $delta['rows'][7]['word']]);
        $this->assertGreaterThan($all['version'], $delta['version']);
        $this->assertEqualsCanonicalizing([7, 8], array_keys($again['rows']));
    }

    public function testHelpSignalsCountsAndDevicesAreOnTheRowAndSignalsOfTheQuizBesideIt(): void
    {
        $board = $this->php(
            self::TOOLS . '$about = ["v" => 1, "ts" => 1700000000.5, "site" => "here", "quiz" => 3];
            $attempt = $about + ["attempt" => 7, "page" => "p", "seq" => 1, "address" => "0123456789abcdef", "agent" => "0123456789abcdef"];
            exam_stream_put("", ["id" => "a", "type" => "alive", "device" => "one", "counts" => ["hidden" => 2, "hidden_s" => 41]] + $attempt);
            exam_stream_put("", ["id" => "h", "type" => "help", "ts" => 1700000003.5, "device" => "two", "text" => "<script>\u{202e}", "by" => 5] + $attempt);
            exam_stream_put("", ["id" => "b", "type" => "alive", "ts" => 1700000005.5, "device" => "one"] + $attempt);
            exam_stream_put("", ["id" => "s", "type" => "signal", "name" => "fast", "at" => 1700000060.25, "row" => ["n" => 2]] + $about + ["attempt" => 7]);
            exam_stream_put("", ["id" => "q", "type" => "signal", "name" => "hard", "slot" => 2, "revision" => 1, "at" => 1700000060.25, "row" => ["share" => 0.5]] + $about);
            folded(); return exam_stream_board("here", 3);',
            $this->withRedis($this->redis()),
        );
        $this->assertSame(['hard/2' => ['at' => 1700000060.25, 'revision' => 1, 'row' => ['share' => 0.5]]], $board['signals']);
        $row = $board['rows'][7];
        $this->assertSame(['h' => ['asked' => ['ts' => 1700000003.5, 'by' => 5, 'slot' => null, 'text' => "<script>\u{202e}"]]], $row['help']);
        $this->assertSame(['fast' => ['at' => 1700000060.25, 'revision' => 0, 'row' => ['n' => 2]]], $row['signals']);
        $this->assertEquals(['hidden' => 2, 'hidden_s' => 41], $row['counts']);
        $this->assertSame([true, 1, 1], [$row['devices_at_once'], $row['addresses'], $row['agents']]);
    }

    public function testMoreThanOneAnswerHoldsComesInSeveral(): void
    {
        [$first, $rest, $keys] = $this->php(
            self::TOOLS . 'for ($n = 1; $n <= 5200; $n++) answer($n, 1, 1, "x");
            folded(); $rows = []; $version = 0; $sizes = [];
            do { $board = exam_stream_board("here", 3, $version); $version = $board["version"]; $rows += $board["rows"]; $sizes[] = count($board["rows"]); } while ($board["more"]);
            return [$sizes[0], array_sum($sizes), count($rows)];',
            ['state_timeout_ms' => 10_000] + $this->withRedis($this->redis()),
        );
        $this->assertSame([5000, 5200, 5200], [$first, $rest, $keys]);
    }

    public function testAStoreThatLostItsMemorySaysSo(): void
    {
        $redis = $this->redis();
        [$before, $after, $then] = $this->php(
            self::TOOLS . 'answer(7, 1, 1, "x"); answer(8, 1, 1, "x"); folded();
            $before = exam_stream_board("here", 3);
            $store = stream_socket_client("tcp://127.0.0.1:' . parse_url($redis->url, PHP_URL_PORT) . '");
            fwrite($store, "FLUSHALL\r\n"); fgets($store);
            answer(8, 1, 2, "y"); folded();
            $after = exam_stream_board("here", 3, $before["version"]);
            return [$before, $after, exam_stream_board("here", 3, $after["version"])];',
            $this->withRedis($redis),
        );
        $this->assertSame([false, true, false], array_column([$before, $after, $then], 'reset'));
        $this->assertSame([8], array_keys($after['rows']));
        $this->assertSame([], $then['rows']);
    }

    public function testAnErasedAttemptIsTakenFromOpenBoardsAndHasNoState(): void
    {
        [$known, $before, $after, $first, $state] = $this->php(
            self::TOOLS . 'answer(7, 1, 1, "the secret answer"); answer(8, 1, 1, "x"); folded();
            $known = exam_stream_state("here", 7); $before = exam_stream_board("here", 3);
            exam_stream_put("", ["v" => 1, "id" => "7-erased", "type" => "erased", "ts" => 1700000100, "site" => "here", "quiz" => 3, "attempt" => 7]);
            folded(); answer(7, 1, 2, "late"); folded();
            return [$known, $before, exam_stream_board("here", 3, $before["version"]), exam_stream_board("here", 3), exam_stream_state("here", 7)];',
            $this->withRedis($this->redis()),
        );
        $this->assertSame('the secret answer', $known['slots'][1]['fields']['answer']);
        $this->assertSame([7, 8], array_keys($before['rows']));
        $this->assertSame([[], [7]], [$after['rows'], $after['erased']]);
        $this->assertSame([[8], []], [array_keys($first['rows']), $first['erased']]);
        $this->assertNull($state);
    }

    public function testAStoreThatIsGoneOrHangsIsAnExceptionInTime(): void
    {
        foreach (['SIGKILL', 'SIGSTOP'] as $signal) {
            $redis = $this->redis();
            [$class, $message, $seconds] = $this->php(
                "exam_stream_board('here', 3); posix_kill({$redis->pid}, $signal); usleep(50000); \$start = microtime(true);
                try { exam_stream_board('here', 3); } catch (Throwable \$e) { return [get_class(\$e), \$e->getMessage(), microtime(true) - \$start]; }",
                $this->withRedis($redis),
            );
            posix_kill($redis->pid, SIGCONT);
            $this->assertSame('ExamStream\StateException', $class);
            $this->assertStringContainsString('state store', $message);
            $this->assertLessThan(0.6, $seconds);
        }
    }

    public function testAVersionThatIsNoneIsRefused(): void
    {
        $refused = $this->php(
            'try { exam_stream_board("here", 3, -1); } catch (ValueError $e) { return $e->getMessage(); }',
            $this->withRedis($this->redis()),
        );
        $this->assertStringContainsString('Argument #3 ($since)', $refused);
    }
}
