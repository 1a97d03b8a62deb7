<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/** What the functions take, refuse and return. No sender, no network. */
final class FunctionsTest extends TestCase
{
    /** @param array<string, string|int> $ini @return mixed */
    private function call(string $expression, array $ini = [])
    {
        return $this->php(
            "try { return $expression; } catch (\\Throwable \$e) { return [get_class(\$e), \$e->getMessage(), \$e->getLine() > 0]; }",
            $this->settings(null, $ini + ['sender' => 'off']),
        );
    }

    public function testReflectionMatchesTheCommittedStub(): void
    {
        $signatures = $this->php('
            $functions = (new ReflectionExtension("exam_stream"))->getFunctions();
            $show = function (ReflectionFunction $f) {
                $parameters = array_map(fn ($p) => $p->getType() . " $" . $p->getName()
                    . ($p->isDefaultValueAvailable() ? " = " . strtolower(var_export($p->getDefaultValue(), true)) : ""), $f->getParameters());
                return "function " . $f->getName() . "(" . implode(", ", $parameters) . "): " . $f->getReturnType();
            };
            return ["functions" => array_map($show, array_values($functions)),
                "classes" => array_map(fn ($c) => [$c->getName(), $c->getParentClass()->getName()], array_values((new ReflectionExtension("exam_stream"))->getClasses()))];
        ', $this->settings(null));
        $stub = file_get_contents(dirname(__DIR__, 2) . '/exam_stream.stub.php');
        preg_match_all('/function .*\): \??\w+/', $stub, $declared);
        $this->assertSame($declared[0], $signatures['functions']);
        preg_match_all('/^    class (\w+) extends \\\\(\w+)/m', $stub, $classes, PREG_SET_ORDER);
        $this->assertSame(
            array_map(fn ($c) => ['ExamStream\\' . $c[1], $c[2]], $classes),
            $signatures['classes'],
        );
    }

    /** A page's token, what the site says of its doors, and a request with one answer. */
    private const DOOR = '
        $page = sprintf("%016x-0badcafe", 1795884580e6);
        $door = ["site" => "s", "keys" => [1 => "secret", 2 => "other"], "switches" => 63,
            "limits" => ["maxbody" => 1000, "maxrecord" => 900, "maxfields" => 9],
            "client" => ["key" => "marks", "skip" => 3, "proxies" => ""]];
        $encode = fn($bytes) => rtrim(strtr(base64_encode($bytes), "+/", "-_"), "=");
        $signed = "1." . $encode(json_encode(["s", 77, 5, 3, 99, $page, 1795888000, 0, (object) [1 => 101], 63]));
        $token = $signed . "." . $encode(hash_hmac("sha256", $signed, "secret", true));
        $answer = ["type" => "answer", "page" => "$page.01234567", "seq" => 1, "at" => 1795884599, "slot" => 1, "qa" => 101,
            "status" => 1, "fields" => ["answer" => "ü"]];
        $request = fn(...$records) => json_encode(["token" => $token, "records" => $records]);
        $now = 1795884600.5;
    ';

    public function testARequestIsAdmittedByItsToken(): void
    {
        $replies = $this->php(self::DOOR . '
            $alive = ["type" => "alive"] + $answer;
            $help = ["type" => "help", "text" => "?"] + $answer;
            $shared = &$door["limits"]["maxbody"];
            $agent = ["HTTP_USER_AGENT" => "Firefox", "REMOTE_ADDR" => "192.0.2.7"];
            $ask = fn(...$arguments) => exam_stream_admit(...$arguments);
            return [$ask($request($answer), $door, $now, []), $ask($request($help), $door, $now, []),
                json_decode($ask($request($alive), $door, $now, $agent)[1]["lines"][0], true),
                $ask($request(["seq" => -1] + $answer), $door, $now, []),
                $ask("{}", $door, $now, []), $ask($request() . str_repeat(" ", 900), $door, $now, []),
                $ask("{\"records\":[]}", $door, $now, []), $ask("{\"records\":[]}", $door, $now, [], $token),
                $ask($request(), ["keys" => [1 => "others"]] + $door, $now, []), $ask($request(), $door, 1795888000.0, [])];',
            $this->settings(null, ['sender' => 'off']),
        );
        [$admitted, $help, $alive, $bad, $none, $large, $without, $given, $forged, $expired] = $replies;
        $page = sprintf('%016x-0badcafe', 1795884580e6);
        $this->assertSame([200, ['attempt' => 77, 'now' => 1795884600.5, 'lines' => [
            '{"ts":1795884600.500000,"at":1795884599.000000,"v":1,"id":"77-' . $page . '.01234567-1","type":"answer","site":"s",'
            . '"quiz":3,"attempt":77,"usage":99,"student_id":5,"page":"' . $page . '.01234567","seq":1,"slot":1,"qa":101,'
            . '"status":1,"fields":{"answer":"ü"}}',
        ]]], $admitted);
        $this->assertSame(['grant' => ['site' => 's', 'attempt' => 77, 'user' => 5, 'quiz' => 3, 'usage' => 99, 'slots' => [1 => 101],
            'page' => $page, 'expires' => 1795888000, 'preview' => false, 'switches' => 63],
            'calls' => [['index' => 0, 'id' => "77-$page.01234567-1", 'call' => null]], 'known' => null], $help[1]['help']);
        // The marks stay what they were, so that nobody's address changes with an upgrade.
        $mark = fn (string $of) => substr(hash_hmac('sha256', $of, 'marks'), 0, 16);
        $this->assertSame([$mark('77 address c0000207'), $mark('77 agent Firefox')], [$alive['address'], $alive['agent']]);
        $this->assertSame([400, 'bad', 0], [$bad[0], $bad[1]['error'], $bad[1]['index']]);
        $this->assertSame([400, 'bad', -1], [$none[0], $none[1]['error'], $none[1]['index']]);
        $this->assertSame([413, ['error' => 'toolarge']], $large);
        $this->assertSame([403, ['error' => 'token']], $without);
        $this->assertSame([200, ['attempt' => 77, 'now' => 1795884600.5, 'lines' => []]], $given);
        $this->assertSame([[403, ['error' => 'token']], [403, ['error' => 'token']]], [$forged, $expired]);
    }

    public function testADoorThatLacksSomethingIsNamed(): void
    {
        foreach ([
            '["site" => null] + $door, $now, []' => '($door) must have a string in site',
            '["limits" => []] + $door, $now, []' => '($door) must have a number from 0 on in limits, maxbody',
            '["switches" => -1] + $door, $now, []' => '($door) must have a number from 0 on in switches',
            '["client" => ["skip" => 3]] + $door, $now, []' => '($door) must have a string in client, key',
            '[], $now, []' => '($door) must have an array in keys',
            '$door, -1.0, []' => '($now) must be the time in seconds since 1970',
            '$door, NAN, []' => '($now) must be the time in seconds since 1970',
            '$door, $now, [], "\xff"' => '($token) must be UTF-8',
        ] as $arguments => $expected) {
            [$class, $message] = $this->call('(function () {' . self::DOOR . "return exam_stream_admit(\"\", $arguments); })()");
            $this->assertSame('ValueError', $class, $arguments);
            $this->assertStringContainsString($expected, $message);
        }
    }

    /** A door in a directory, and a token that is good today. */
    private const KEPT = self::DOOR . '
        mkdir($directory = sys_get_temp_dir() . "/door" . getmypid());
        touch("$directory/door.php", 1795880000);
        $door["written"] = 1795880000;
        $page = sprintf("%016x-0badcafe", (time() - 20) * 1e6);
        $signed = "1." . $encode(json_encode(["s", 77, 5, 3, 99, $page, time() + 60, 0, (object) [1 => 101], 63]));
        $token = $signed . "." . $encode(hash_hmac("sha256", $signed, "secret", true));
        $answer["page"] = "$page.01234567";
        $request = fn(...$records) => json_encode(["token" => $token, "records" => $records]);
        register_shutdown_function(fn() => exec("rm -r $directory"));
    ';

    public function testADoorThatWasShownRepliesByItself(): void
    {
        $replies = $this->php(self::KEPT . '
            $try = fn($body) => exam_stream_try_door($body);
            $before = $try($request($answer));
            $kept = exam_stream_keep_door($door, $directory, 9);
            $replies = [$before, $kept, $try($request($answer, ["seq" => 2] + $answer)), $try($request()),
                $try($request(["type" => "help"] + $answer)), $try($request(["seq" => -1] + $answer)), $try("{}"), $try("")];
            $accepted = exam_stream_stats()["accepted"];
            mkdir("$directory/closed/77", 0777, true);
            touch("$directory/closed/77/77");
            $replies[] = $try($request($answer));
            unlink("$directory/closed/77/77");
            touch("$directory/door.php", 1795880001);
            $replies[] = $try($request($answer));
            unlink("$directory/door.php");
            $replies[] = $try($request($answer));
            touch("$directory/door.php", 1795880000);
            $replies[] = $try($request($answer))[0];
            exam_stream_keep_door($door, $directory, 0.05);
            usleep(60000);
            $replies[] = $try($request($answer));
            return [$replies, $accepted, exam_stream_stats()["accepted"]];',
            $this->settings(null, ['sender' => 'off']),
        );
        [[$before, $kept, $two, $empty, $help, $bad, $none, $nothing, $closed, $changed, $gone, $again, $late], $first, $all] = $replies;
        $this->assertSame([null, true, 200], [$before, $kept, $two[0]]);
        $this->assertMatchesRegularExpression('/^\{"now":\d{10}\.\d{6},"saved":2\}$/', $two[1]);
        $this->assertSame([200, 0], [$empty[0], json_decode($empty[1], true)['saved']]);
        $this->assertSame([null, 77, 1], [$help[0], $help[1]['attempt'], count($help[1]['lines'])]);
        $this->assertSame([null, null, null], [$bad, $none, $nothing]);
        $this->assertSame([null, null, null, 200, null], [$closed, $changed, $gone, $again, $late]);
        $this->assertSame([2, 3], [$first, $all]);
    }

    public function testTheDoorSeesWhereARequestComesFrom(): void
    {
        $fpm = $this->fpm($this->settings(null, ['sender' => 'off']), ['www' => ['pm.max_children' => '1']]);
        $mark = fn (string $of) => substr(hash_hmac('sha256', $of, 'marks'), 0, 16);
        foreach ([1, 2] as $_) {
            $alive = $fpm->run('door');
            $this->assertSame($mark('77 address c0000207'), $alive['address'] ?? null);
            $this->assertSame($mark('77 agent Firefox'), $alive['agent']);
        }
    }

    public function testAFullSpoolIsToldByTheDoor(): void
    {
        $reply = $this->php(self::KEPT . '
            exam_stream_keep_door($door, $directory, 9);
            foreach ([100000, 1] as $bytes) {
                while (exam_stream_put("exam", str_repeat("1", $bytes))) {}
            }
            return exam_stream_try_door($request(["fields" => ["answer" => str_repeat("x", 400)]] + $answer));',
            $this->settings(null, ['sender' => 'off', 'spool_max_bytes' => '1M']),
        );
        $this->assertSame([503, '{"error":"full","saved":0}'], $reply);
    }

    public function testAForkedProcessIsShownDoorsAnew(): void
    {
        $replies = $this->php(self::KEPT . '
            exam_stream_keep_door($door, $directory, 9);
            if (!($pid = pcntl_fork())) {
                posix_kill(getmypid(), exam_stream_try_door($request($answer)) === null ? SIGUSR1 : SIGKILL);
            }
            pcntl_waitpid($pid, $status);
            return [pcntl_wtermsig($status) === SIGUSR1, exam_stream_try_door($request($answer))[0]];',
            $this->settings(null, ['sender' => 'off']),
        );
        $this->assertSame([true, 200], $replies);
    }

    public function testCodeOfAFileIsAnsweredByTheDoorsItHasShown(): void
    {
        $replies = $this->php(self::KEPT . '
            foreach (["one", "two"] as $file) {
                file_put_contents("$directory/$file.php", "<?php return [fn(...\$of) => exam_stream_keep_door(...\$of),
                    fn(\$body) => exam_stream_try_door(\$body)];");
                [$keep[], $try[]] = include "$directory/$file.php";
            }
            $keep[0]($door, $directory, 9);
            return [$try[0]($request($answer))[0], $try[1]($request($answer)), exam_stream_try_door($request($answer))];',
            $this->settings(null, ['sender' => 'off']),
        );
        $this->assertSame([200, null, null], $replies);
    }

    public function testTheMemoryOfDoorsHasBounds(): void
    {
        $this->assertSame([true, true, false], $this->call('(function () {' . self::DOOR . '
            $keep = fn($site) => exam_stream_keep_door(["site" => "$site", "written" => 1] + $door, "/", 9);
            for ($i = 0; $i < 64; $i++) { $last = $keep($i); }
            return [$last, $keep(7), $keep("one more")]; })()'));
        foreach ([
            '$door, "/", 1' => '($door) must have a number in written',
            '["site" => 5, "written" => 1] + $door, "/", 1' => '($door) must have a string in site',
            '["written" => 1] + $door, "/", -1' => '($seconds) must be a number of seconds from 0 to 60',
            '["written" => 1] + $door, "/", 61' => '($seconds) must be a number of seconds from 0 to 60',
            '["written" => 1] + $door, "/", NAN' => '($seconds) must be a number of seconds from 0 to 60',
        ] as $arguments => $expected) {
            [$class, $message] = $this->call('(function () {' . self::DOOR . "return exam_stream_keep_door($arguments); })()");
            $this->assertSame('ValueError', $class, $arguments);
            $this->assertStringContainsString($expected, $message);
        }
    }

    public function testAStringAndAnArrayAreAccepted(): void
    {
        $this->assertTrue($this->call('exam_stream_put("exam", \'{"id":"1"}\')'));
        $this->assertTrue($this->call('exam_stream_put("exam", ["id" => "1", "x" => [1.0, null, true, "ü/"]])'));
        $this->assertTrue($this->call('exam_stream_put("", "1")'), 'the empty name is exam_stream.stream');
        $this->assertSame(2, $this->call('exam_stream_put_many("exam", ["{}", ["id" => 1]])'));
        $this->assertSame(0, $this->call('exam_stream_put_many("exam", [])'));
    }

    public function testARecordOfThePaperIsAccepted(): void
    {
        $this->assertTrue($this->call('exam_stream_put("exam", \'{"user":"A123","status":"s1120"}\')'));
    }

    public static function refused(): array
    {
        return [
            'empty' => ['exam_stream_put("exam", "")', 'ValueError', 'Argument #2 ($record) cannot be accepted: the record is empty'],
            'blank' => ['exam_stream_put("exam", " \n")', 'ValueError', '$record'],
            'cut off' => ['exam_stream_put("exam", \'{"a":1\')', 'ValueError', 'not one JSON value'],
            'two values' => ['exam_stream_put("exam", "{} {}")', 'ValueError', 'not one JSON value'],
            'a line break in a string' => ['exam_stream_put("exam", "\"a\nb\"")', 'ValueError', 'not one JSON value'],
            'not UTF-8' => ['exam_stream_put("exam", "\"\xff\"")', 'ValueError', 'not UTF-8'],
            'a byte order mark' => ['exam_stream_put("exam", "\xef\xbb\xbf{}")', 'ValueError', 'a byte order mark'],
            'too long' => ['exam_stream_put("exam", json_encode(str_repeat("x", 262143)))', 'ValueError', '262144'],
            'too long as array' => ['exam_stream_put("exam", [str_repeat("x", 262144)])', 'ValueError', '262144'],
            'integer' => ['exam_stream_put("exam", 5)', 'TypeError', '($record) must be of type array|string, int given'],
            'null' => ['exam_stream_put("exam", null)', 'TypeError', 'null given'],
            'object' => ['exam_stream_put("exam", new stdClass)', 'TypeError', 'stdClass given'],
            'NAN' => ['exam_stream_put("exam", ["x" => NAN])', 'ValueError', 'Inf and NaN'],
            'INF' => ['exam_stream_put("exam", ["x" => [INF]])', 'ValueError', 'Inf and NaN'],
            'invalid UTF-8 in an array' => ['exam_stream_put("exam", ["x" => "\xff"])', 'ValueError', 'UTF-8'],
            'a resource' => ['exam_stream_put("exam", [fopen("php://memory", "r")])', 'ValueError', 'not supported'],
            'recursion' => ['(function () { $a = []; $a["a"] = &$a; return exam_stream_put("exam", $a); })()', 'ValueError', 'ecursion'],
            'depth' => ['(function () { $a = []; for ($i = 0; $i < 200; $i++) { $a = [$a]; } return exam_stream_put("exam", $a); })()', 'ValueError', 'depth'],
            'depth of a string' => ['exam_stream_put("exam", str_repeat("[", 200) . str_repeat("]", 200))', 'ValueError', 'nests deeper'],
            'stream name' => ['exam_stream_put("no spaces", "{}")', 'ValueError', '($stream) must be the name of a delivery stream'],
            'stream name with NUL' => ['exam_stream_put("exam\0", "{}")', 'ValueError', '($stream)'],
            'long stream name' => ['exam_stream_put(str_repeat("x", 65), "{}")', 'ValueError', '($stream)'],
            'no arguments' => ['exam_stream_put()', 'ArgumentCountError', 'expects exactly 2 arguments, 0 given'],
            'a bad record among good ones' => ['exam_stream_put_many("exam", ["{}", "{}", "x", "{}"])', 'ValueError', 'at index 2'],
            'a number among good ones' => ['exam_stream_put_many("exam", ["{}", 7])', 'TypeError', 'int given at index 1'],
            'many that are no array' => ['exam_stream_put_many("exam", "{}")', 'TypeError', 'must be of type array, string given'],
            'negative timeout' => ['exam_stream_flush(-1)', 'ValueError', '$timeout'],
            'NAN timeout' => ['exam_stream_flush(NAN)', 'ValueError', '$timeout'],
        ];
    }

    /** @dataProvider refused */
    #[\PHPUnit\Framework\Attributes\DataProvider('refused')]
    public function testRefuses(string $expression, string $class, string $message): void
    {
        $thrown = $this->call($expression);
        $this->assertIsArray($thrown, 'nothing was thrown');
        $this->assertSame($class, $thrown[0]);
        $this->assertStringContainsString($message, $thrown[1]);
    }

    public function testNoStreamAtAllIsAValueError(): void
    {
        $thrown = $this->call('exam_stream_put("", "{}")', ['stream' => '']);
        $this->assertSame('ValueError', $thrown[0]);
        $this->assertStringContainsString('exam_stream.stream', $thrown[1]);
    }

    public function testABadRecordInTheMiddleLeavesNothingOfTheCall(): void
    {
        $stats = $this->php('
            try { exam_stream_put_many("exam", ["{}", "{}", "x"]); } catch (ValueError $e) {}
            return exam_stream_stats();
        ', $this->settings(null, ['sender' => 'off']));
        $this->assertSame(0, $stats['accepted']);
    }

    public function testWhatUserCodeThrowsWhileEncodingPassesThrough(): void
    {
        $thrown = $this->call('exam_stream_put("exam", [new class implements JsonSerializable {
            public function jsonSerialize(): mixed { throw new LogicException("mine"); } }])');
        $this->assertSame(['LogicException', 'mine', true], $thrown);
    }

    public function testAFatalErrorWhileEncodingLeavesTheProcessUsable(): void
    {
        $fpm = $this->fpm($this->settings(null, ['sender' => 'off']), ['www' => ['pm.max_children' => '1']]);
        for ($i = 0; $i < 3; $i++) {
            try {
                $fpm->run('fatal_while_encoding');
                $this->fail('no fatal error');
            } catch (\RuntimeException $e) {
                $this->assertStringContainsString('Allowed memory size', $e->getMessage());
            }
            $this->assertCount(1, $fpm->run('put', ['prefix' => "after$i"])['accepted']);
        }
    }

    public function testUserCodeThatPutsWhileItsArrayIsEncodedDoesNotBlock(): void
    {
        $this->assertSame(2, $this->php('
            $inner = new class implements JsonSerializable {
                public function jsonSerialize(): mixed { exam_stream_put("exam", "{}"); return "outer"; } };
            exam_stream_put("exam", [$inner]);
            return exam_stream_stats()["accepted"];
        ', $this->settings(null, ['sender' => 'off'])));
    }

    public function testAListThatItsOwnEncodingChangesIsTakenAsItWas(): void
    {
        $this->assertSame(3, $this->php('
            $text = json_encode(str_repeat("a", 100));
            $changer = new class($text) implements JsonSerializable {
                public $text;
                public function __construct(&$text) { $this->text = &$text; }
                public function jsonSerialize(): mixed { $this->text = "changed"; return 1; } };
            return exam_stream_put_many("exam", [&$text, [$changer], "{}"]);
        ', $this->settings(null, ['sender' => 'off'])));
    }

    public function testPutLeavesJsonLastErrorAlone(): void
    {
        $this->assertSame([4, 4], $this->php('
            json_decode("{");
            $before = json_last_error();
            exam_stream_put("exam", ["x" => 1]);
            return [$before, json_last_error()];
        ', $this->settings(null, ['sender' => 'off'])));
    }

    public function testArraysBecomeTheSameValueAsJsonEncodeGives(): void
    {
        $firehose = $this->firehose();
        $value = ['i' => 1, 'f' => 1.0, 'g' => 0.1 + 0.2, 'big' => PHP_INT_MAX, 'n' => null, 'b' => false, 's' => "ü/\u{2028}\"\\\n", 'l' => [1, [2]], 'm' => ['1' => 'a', 'x' => []], '' => 'empty'];
        $code = 'exam_stream_put("exam", unserialize(' . var_export(serialize($value), true) . ')); return exam_stream_flush();';
        $this->assertTrue($this->php($code, $this->settings($firehose)));
        $this->assertSame($value, json_decode($firehose->lines()[0], true));
    }

    public function testTheBytesOfAStringAreDeliveredUnchanged(): void
    {
        $firehose = $this->firehose();
        $line = '{ "b" : 1.50, "a":"\u00fc\/", "a":2 }';
        $this->assertTrue($this->php('exam_stream_put("exam", ' . var_export($line, true) . '); return exam_stream_flush();', $this->settings($firehose)));
        $this->assertSame([$line], $firehose->lines());
    }

    public function testFlushIsTrueWithNothingToDeliver(): void
    {
        $this->assertTrue($this->call('exam_stream_flush(0)'));
    }

    public function testFlushIsFalseWhenTheTimeIsOver(): void
    {
        [$flushed, $seconds] = $this->php('
            exam_stream_put("exam", "{}");
            $start = microtime(true);
            return [exam_stream_flush(0.3), microtime(true) - $start];
        ', $this->settings(null, ['sender' => 'off']));
        $this->assertFalse($flushed);
        $this->assertGreaterThan(0.29, $seconds);
        $this->assertLessThan(0.6, $seconds);
    }

    public function testStatsOfASpoolNobodyUsedMakesNoDirectory(): void
    {
        $settings = $this->settings(null);
        $stats = $this->php('return exam_stream_stats();', $settings);
        $this->assertSame([0, 0, 0, null, null], [$stats['accepted'], $stats['delivered'], $stats['refused'], $stats['last_error'], $stats['sender_pid']]);
        $this->assertDirectoryDoesNotExist($settings['spool_dir']);
    }

    public function testPhpinfoShowsSettingsAndLiveFiguresAndNoPassword(): void
    {
        $out = $this->php('
            exam_stream_put("exam", "{}");
            ob_start(); phpinfo(INFO_MODULES); return ob_get_clean();
        ', $this->settings(null, ['sender' => 'off', 'state_url' => 'redis://user:geheim@127.0.0.1:1/0']));
        $this->assertMatchesRegularExpression('/^accepted => 1$/m', $out);
        $this->assertStringContainsString('exam_stream.spool_max_bytes => 1G => 1G', $out);
        $this->assertStringContainsString('redis://***@127.0.0.1:1/0', $out);
        $this->assertStringNotContainsString('geheim', $out);
    }
}
