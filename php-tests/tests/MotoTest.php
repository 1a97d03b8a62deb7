<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/** The same bytes arrive in Moto's S3 as in the cold storage of `exam-stream serve`. */
final class MotoTest extends TestCase
{
    public function testTheSameBytesArriveInMotosS3AsWithTheLocalServer(): void
    {
        $moto = $this->moto();
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

    /** Moto computes each signature anew, with Amazon's own botocore, from the request as it arrived. */
    public function testSignaturesHoldAndTheBytesInS3AreTheBytesPut(): void
    {
        $moto = $this->moto();
        $host = $moto->userWhoMay('firehose:PutRecordBatch');
        $moto->checkSignatures(true);
        $settings = $this->settings($moto, ['region' => 'us-east-1']);
        $line = fn (int $i) => json_encode(['v' => 1, 'id' => "sig-$i", 'type' => 'answer', 'fields' => ['answer' => "ü /+= \n\t\"\\ $i"]], $i % 2 ? JSON_UNESCAPED_UNICODE : 0);
        $lines = array_map($line, range(0, 999));
        $put = 'return exam_stream_put_many("exam", json_decode(' . var_export(json_encode($lines), true) . '));';
        $this->assertSame(1000, $this->php($put, ['sender' => 'off'] + $settings));

        // Somebody who does not know the secret, or whom nobody knows, delivers nothing and loses nothing.
        foreach ([['AWS_SECRET_ACCESS_KEY' => 'a guess'] + $host, ['AWS_ACCESS_KEY_ID' => 'AKIAUNKNOWN'] + $host] as $stranger) {
            $refused = $this->php('exam_stream_flush(2.0); return exam_stream_stats();', $settings, $stranger);
            $this->assertSame([0, 0], [$refused['delivered'], $refused['quarantined']], json_encode($refused));
            $this->assertMatchesRegularExpression('/signature|security token|credential/i', json_encode($refused['last_error']));
        }

        $this->assertTrue($this->php('return exam_stream_flush(60.0);', $settings, $host));
        $moto->checkSignatures(false);
        $arrived = $moto->lines();
        sort($arrived);
        sort($lines);
        $this->assertTrue($arrived === $lines, count($arrived) . ' lines arrived, or others than were put');
    }

    private function moto(): Moto
    {
        $program = Moto::program();
        if ($program === null) {
            fwrite(STDERR, "\nNOT TESTED against moto: it cannot be installed here\n");
            $this->markTestSkipped('moto[server] cannot be installed');
        }
        return $this->started(new Moto($this->scratch, $program));
    }
}
