<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/** A program the suite started: ended by its pid, never by its name. */
class Process
{
    /** @var resource */
    private $handle;
    public int $pid;
    public string $log;

    /**
     * @param list<string> $command
     * @param array<string, string> $env added to the environment of the suite
     */
    public function __construct(array $command, string $log, array $env = [], ?string $out = null)
    {
        $this->log = $log;
        $handle = proc_open(
            $command,
            [['file', '/dev/null', 'r'], ['file', $out ?? $log, 'a'], ['file', $log, 'a']],
            $pipes,
            null,
            $env + getenv(),
        );
        if ($handle === false) {
            throw new \RuntimeException('cannot start ' . implode(' ', $command));
        }
        $this->handle = $handle;
        $this->pid = proc_get_status($handle)['pid'];
    }

    public function running(): bool
    {
        return proc_get_status($this->handle)['running'];
    }

    public function signal(int $signal): void
    {
        if ($this->running()) {
            posix_kill($this->pid, $signal);
        }
    }

    /** Seconds until it had ended; null when it had not within $timeout. */
    public function wait(float $timeout): ?float
    {
        $start = microtime(true);
        while ($this->running()) {
            if (microtime(true) - $start > $timeout) {
                return null;
            }
            usleep(2000);
        }
        return microtime(true) - $start;
    }

    public function kill(): void
    {
        $this->signal(SIGKILL);
        $this->wait(5);
    }

    public function stop(): void
    {
        $this->signal(SIGTERM);
        if ($this->wait(10) === null) {
            $this->kill();
        }
    }

    public static function freePort(): int
    {
        $socket = stream_socket_server('tcp://127.0.0.1:0');
        $name = stream_socket_get_name($socket, false);
        fclose($socket);
        return (int) substr(strrchr($name, ':'), 1);
    }

    public static function listening(int $port): bool
    {
        $socket = @stream_socket_client("tcp://127.0.0.1:$port", $errno, $error, 0.2);
        if ($socket === false) {
            return false;
        }
        fclose($socket);
        return true;
    }
}
