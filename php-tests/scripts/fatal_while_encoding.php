<?php
// A record whose encoding ends the request with a fatal error.
ini_set('memory_limit', '8M');
exam_stream_put_many('exam', ['{}', [new class implements JsonSerializable {
    public function jsonSerialize(): mixed
    {
        return str_repeat('x', 64 << 20);
    }
}]]);
