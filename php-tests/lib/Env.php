<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/** The programs under test and beside it, and where they are. */
final class Env
{
    /** The extension's settings, without the prefix. */
    private const OWN = ['endpoint', 'region', 'stream', 'spool_dir', 'spool_max_bytes', 'sync_ms', 'linger_ms',
        'aggregate_bytes', 'sender', 'shutdown_ms', 'state_url', 'state_timeout_ms', 'log'];

    public static function extension(): string
    {
        return self::path('EXAM_STREAM_SO');
    }

    /** The program `exam-stream`, if it is built. */
    public static function program(): ?string
    {
        $path = getenv('EXAM_STREAM_BIN');
        return $path !== false && is_executable($path) ? $path : null;
    }

    public static function php(): string
    {
        return PHP_BINARY;
    }

    public static function fpm(): string
    {
        $version = PHP_MAJOR_VERSION . '.' . PHP_MINOR_VERSION;
        foreach ([getenv('PHP_FPM'), "/usr/sbin/php-fpm$version", dirname(PHP_BINARY, 2) . '/sbin/php-fpm'] as $path) {
            if ($path && is_executable($path)) {
                return $path;
            }
        }
        throw new \RuntimeException("no php-fpm of PHP $version: install php$version-fpm or set PHP_FPM");
    }

    public static function webUser(): string
    {
        return 'www-data';
    }

    /** Whether to run the long versions: real two-minute outages. */
    public static function full(): bool
    {
        return getenv('EXAM_STREAM_FULL') === '1';
    }

    /**
     * @param array<string, string|int> $ini exam_stream.* without the prefix, and others of PHP
     * @return list<string> arguments of php and php-fpm
     */
    public static function ini(array $ini): array
    {
        // -n leaves the system's php.ini out; what the scripts need is loaded here.
        $args = ['-d', 'extension=' . self::extension()];
        foreach (['posix', 'pcntl'] as $module) {
            if (is_file(ini_get('extension_dir') . "/$module.so")) {
                array_push($args, '-d', "extension=$module");
            }
        }
        foreach ($ini as $name => $value) {
            array_push($args, '-d', (in_array($name, self::OWN, true) ? "exam_stream.$name" : $name) . "=\"$value\"");
        }
        return $args;
    }

    private static function path(string $variable): string
    {
        $path = getenv($variable);
        if ($path === false || !is_file($path)) {
            throw new \RuntimeException("$variable names no file; run php-tests/run.sh");
        }
        return $path;
    }
}
