<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/**
 * Real processes on free ports under a private directory, ended by their pid.
 */
abstract class TestCase extends \PHPUnit\Framework\TestCase
{
    protected Scratch $scratch;
    /** @var list<Process> */
    private array $processes = [];

    protected function setUp(): void
    {
        $this->scratch = new Scratch();
    }

    protected function tearDown(): void
    {
        foreach (array_reverse($this->processes) as $process) {
            $process->stop();
        }
        $this->processes = [];
        // PHPUnit 9 is Debian 12's and Ubuntu 24.04's, 11 is Debian 13's.
        $named = method_exists($this, 'status');
        $passed = $named ? $this->status()->isSuccess() : $this->getStatus() === \PHPUnit\Runner\BaseTestRunner::STATUS_PASSED;
        if ($passed) {
            $this->scratch->remove();
        } else {
            fwrite(STDERR, sprintf("\n%s: files kept in %s\n", $named ? $this->nameWithDataSet() : $this->getName(), $this->scratch->path));
        }
    }

    /**
     * @template T of Process
     * @param T $process
     * @return T
     */
    protected function started(Process $process): Process
    {
        return $this->processes[] = $process;
    }

    protected function firehose(): FaultyFirehose
    {
        return $this->started(new FaultyFirehose($this->scratch));
    }

    protected function redis(): Redis
    {
        return $this->started(new Redis($this->scratch));
    }

    protected function serve(?Redis $redis = null): Serve
    {
        if (Env::program() === null) {
            $this->markTestSkipped('exam-stream is not built: EXAM_STREAM_BIN names no program');
        }
        return $this->started(new Serve($this->scratch, $redis));
    }

    /**
     * @param array<string, string|int> $ini
     * @param array<string, array<string, string>> $pools
     */
    protected function fpm(array $ini, array $pools = ['www' => []]): Fpm
    {
        return $this->started(new Fpm($this->scratch, $pools, $ini));
    }

    /**
     * The settings of a test: a spool of its own, fast, errors to a file.
     *
     * @param FaultyFirehose|Serve|null $endpoint
     * @param array<string, string|int> $ini
     * @return array<string, string|int>
     */
    protected function settings(?Process $endpoint, array $ini = []): array
    {
        foreach (['exam_stream.log', 'php.log'] as $log) {
            touch("{$this->scratch->path}/$log");
            chmod("{$this->scratch->path}/$log", 0666);
        }
        return $ini + [
            'endpoint' => $endpoint->url ?? 'http://127.0.0.1:9',
            'region' => 'eu-west-1',
            'stream' => 'exam',
            'spool_dir' => $this->scratch->webDir('spool') . '/spool',
            'linger_ms' => 20,
            'sync_ms' => 100,
            'log' => $this->scratch->path . '/exam_stream.log',
            'error_log' => $this->scratch->path . '/php.log',
            'log_errors' => '1',
        ];
    }

    /**
     * Runs PHP code in php-cli with the extension; it ends with `return …;`.
     *
     * @param array<string, string|int> $ini
     * @param array<string, string> $env
     * @return mixed
     */
    protected function php(string $code, array $ini, array $env = [], float $timeout = 60.0)
    {
        $process = $this->phpProcess($code, $ini, $env);
        if ($process->wait($timeout) === null) {
            $process->kill();
            $this->fail("php did not end within $timeout s: $code");
        }
        $out = (string) file_get_contents($process->log . '.out');
        $value = json_decode($out, true);
        if ($value === null && trim($out) !== 'null') {
            $this->fail("php printed: $out\n" . file_get_contents($process->log));
        }
        return $value;
    }

    /**
     * The same in the background; what it returns is in the file log.out.
     *
     * @param array<string, string|int> $ini
     * @param array<string, string> $env
     */
    protected function phpProcess(string $code, array $ini, array $env = []): Process
    {
        static $count = 0;
        $base = $this->scratch->path . '/php' . ++$count;
        file_put_contents("$base.php", '<?php echo json_encode((static function () { ' . $code . ' })(), JSON_PARTIAL_OUTPUT_ON_ERROR);');
        return $this->started(new Process(
            [Env::php(), '-n', ...Env::ini($ini), "$base.php"],
            "$base.log",
            $env + ['AWS_ACCESS_KEY_ID' => 'AKIDEXAMPLE', 'AWS_SECRET_ACCESS_KEY' => 'secret'],
            "$base.log.out",
        ));
    }

    /** The ids of the records in some lines. @param iterable<string> $lines @return array<string, int> id => how often */
    protected static function ids(iterable $lines): array
    {
        $ids = [];
        foreach ($lines as $line) {
            $id = json_decode($line, true)['id'];
            $ids[$id] = ($ids[$id] ?? 0) + 1;
        }
        return $ids;
    }

    /** Waits until $condition holds, and fails with $message() when it does not within $seconds. */
    public static function eventually(float $seconds, callable $condition, callable $message): float
    {
        $start = microtime(true);
        while (!$condition()) {
            if (microtime(true) - $start > $seconds) {
                self::fail(sprintf('not within %.1f s: %s', $seconds, $message()));
            }
            usleep(5000);
            // PHP remembers a file's size otherwise, and the condition would never hold.
            clearstatcache();
        }
        return microtime(true) - $start;
    }
}
