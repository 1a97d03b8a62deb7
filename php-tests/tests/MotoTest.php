<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/** The same bytes arrive in Moto's S3 as in the cold storage of `exam-stream serve`. */
final class MotoTest extends TestCase
{
    public function testTheSameBytesArriveInMotosS3AsWithTheLocalServer(): void
    {
        $program = Moto::program();
        if ($program === null) {
            fwrite(STDERR, "\nNOT TESTED against moto: it cannot be installed here\n");
            $this->markTestSkipped('moto[server] cannot be installed');
        }
        $moto = $this->started(new Moto($this->scratch, $program));
        $serve = $this->serve();
        // More than 500 records and more than 4 MiB are queued before anything is sent.
        $put = '
            for ($i = 0; $i < 6000; $i++) {
                $line = json_encode(["v" => 1, "id" => "m-$i", "type" => "answer", "ts" => 1700000000 + $i, "fields" => ["answer" => str_repeat(chr(97 + $i % 26), 700 + $i % 400) . " ü \"\\\\ \n"]]);
                if (!exam_stream_put("exam", $line)) die("refused");
            }
            return exam_stream_stats()["bytes"];';
        foreach ([$moto, $serve] as $server) {
            foreach ([65536, 1] as $aggregate) {
                $settings = $this->settings($server, ['aggregate_bytes' => $aggregate, 'region' => 'us-east-1']);
                $this->assertGreaterThan(4 << 20, $this->php($put, ['sender' => 'off'] + $settings));
                $this->assertSame(6000, $this->php('exam_stream_flush(60); return exam_stream_stats()["delivered"];', $settings));
            }
        }
        $inMoto = $moto->lines();
        $inServe = iterator_to_array($serve->lines(), false);
        sort($inMoto);
        sort($inServe);
        $this->assertCount(12000, $inMoto);
        $this->assertTrue($inMoto === $inServe, 'the lines differ');
    }
}
