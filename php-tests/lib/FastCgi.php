<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/** Requests to php-fpm, as a web server makes them. */
final class FastCgi
{
    private const BEGIN = 1, END = 3, PARAMS = 4, STDIN = 5, STDOUT = 6;

    /**
     * Sends a request; answer() waits for what comes back.
     *
     * @param array<string, string> $query
     * @return resource
     */
    public static function send(string $socket, string $script, array $query = [], float $timeout = 30.0)
    {
        $stream = @stream_socket_client("unix://$socket", $errno, $error, $timeout);
        if ($stream === false) {
            throw new \RuntimeException("php-fpm at $socket: $error");
        }
        stream_set_timeout($stream, (int) ceil($timeout));
        $params = [
            'SCRIPT_FILENAME' => $script,
            'SCRIPT_NAME' => '/' . basename($script),
            'REQUEST_METHOD' => 'POST',
            'CONTENT_LENGTH' => '0',
            'REMOTE_ADDR' => '192.0.2.7',
            'HTTP_USER_AGENT' => 'Firefox',
            'QUERY_STRING' => http_build_query($query),
            'SERVER_PROTOCOL' => 'HTTP/1.1',
            'GATEWAY_INTERFACE' => 'CGI/1.1',
        ];
        $encoded = '';
        foreach ($params as $name => $value) {
            $encoded .= self::length($name) . self::length($value) . $name . $value;
        }
        // A worker may die before it has read this: answer() says so.
        @fwrite($stream, self::record(self::BEGIN, pack('nCx5', 1, 0))
            . self::record(self::PARAMS, $encoded) . self::record(self::PARAMS, '')
            . self::record(self::STDIN, ''));
        return $stream;
    }

    /**
     * @param resource $stream
     * @return string the body
     * @throws \RuntimeException when the worker died, was ended or does not answer in time
     */
    public static function answer($stream): string
    {
        $out = '';
        while (($header = self::read($stream, 8)) !== null) {
            ['type' => $type, 'length' => $length, 'padding' => $padding]
                = unpack('Cversion/Ctype/nid/nlength/Cpadding/x', $header);
            $content = self::read($stream, $length);
            self::read($stream, $padding);
            if ($type === self::STDOUT) {
                $out .= $content;
            } elseif ($type === self::END) {
                fclose($stream);
                [, $body] = explode("\r\n\r\n", $out, 2) + [1 => ''];
                return $body;
            }
        }
        fclose($stream);
        throw new \RuntimeException('the worker died or timed out within the request');
    }

    private static function record(int $type, string $content): string
    {
        return pack('CCnnCx', 1, $type, 1, strlen($content), 0) . $content;
    }

    private static function length(string $value): string
    {
        $length = strlen($value);
        return $length < 128 ? chr($length) : pack('N', $length | 0x80000000);
    }

    /** @param resource $stream */
    private static function read($stream, int $length): ?string
    {
        $bytes = '';
        while (strlen($bytes) < $length) {
            $part = fread($stream, $length - strlen($bytes));
            if ($part === false || $part === '') {
                return null;
            }
            $bytes .= $part;
        }
        return $bytes;
    }
}
