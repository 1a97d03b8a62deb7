<?php echo json_encode(exam_stream_stats());
