<?php
// This file is part of Moodle - https://moodle.org/
//
// Moodle is free software: you can redistribute it and/or modify
// it under the terms of the GNU General Public License as published by
// the Free Software Foundation, either version 3 of the License, or
// (at your option) any later version.
//
// Moodle is distributed in the hope that it will be useful,
// but WITHOUT ANY WARRANTY; without even the implied warranty of
// MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.  See the
// GNU General Public License for more details.
//
// You should have received a copy of the GNU General Public License
// along with Moodle.  If not, see <https://www.gnu.org/licenses/>.

/**
 * Strings.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

defined('MOODLE_INTERNAL') || die();

$string['banner_back'] = 'Connected again. All your answers are saved.';
$string['banner_finished'] = 'This attempt is finished. What you change now is not saved.';
$string['banner_kept'] = 'No connection to the server. Your answers are kept on this device and will be saved as soon as the connection is back. You can go on answering.';
$string['banner_open'] = 'No connection to the server. Keep this page open: your answers will be saved as soon as the connection is back. You can go on answering.';
$string['banner_returning'] = 'Saving answers that were kept on this device…';
$string['banner_token'] = 'Your answers are not being saved as you type. Reload this page to go on.';
$string['error_directory'] = 'Cannot write to {$a}. Give it to the web server\'s user.';
$string['error_lateanswer'] = 'An answer that came before attempt {$a} was closed cannot be brought in. The attempt was left as it is.';
$string['mark_refused'] = 'Cannot be saved as you type';
$string['mark_restored'] = 'Restored';
$string['mark_saved'] = 'Saved';
$string['mark_saving'] = 'Saving…';
$string['mark_unsaved'] = 'Not saved yet';
$string['pluginname'] = 'Exam Stream';
$string['restored_many'] = '{$a} answers that you had not submitted yet have been restored.';
$string['restored_one'] = 'An answer that you had not submitted yet has been restored.';
$string['task_bring_in_late_answers'] = 'Bring streamed answers into an attempt that was closed without them';
$string['task_fold_silent_attempts'] = 'Bring streamed answers into the attempts of silent students';
$string['task_keep_house'] = 'Renew the keys of page tokens, remove old marks';
