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
$string['banner_kept'] = 'Your answers do not reach the server at the moment. They are kept on this device and will be saved as soon as the connection is back. You can go on answering.';
$string['banner_open'] = 'Your answers do not reach the server at the moment. Keep this page open: they will be saved as soon as the connection is back. You can go on answering.';
$string['banner_returning'] = 'Saving answers that were kept on this device…';
$string['banner_token'] = 'Your answers are not being saved as you type. Reload this page to go on.';
$string['cachedef_folded'] = 'What has been brought into silent attempts';
$string['check_clock'] = 'Clock';
$string['check_clock_skew'] = 'This web server\'s clock and the database\'s differ by {$a} seconds. Edits on two devices are ordered by it: keep it below one second, with NTP.';
$string['check_clock_unknown'] = 'The clock of this kind of database cannot be asked.';
$string['check_door'] = 'Door';
$string['check_door_disabled'] = 'No quiz streams its answers: the plugin is switched off in its settings.';
$string['check_door_missing'] = '{$a} is missing. The next attempt page writes it; until then answers are kept in the browsers.';
$string['check_door_ok'] = 'put.php has its keys, and nobody else can read them.';
$string['check_door_outdated'] = '{$a} does not say what the settings say. Save the settings of the plugin again.';
$string['check_door_readable'] = '{$a} can be read by other users of this server. Make it private (0600): it holds the keys of the page tokens.';
$string['check_door_ws'] = 'Answers come through Moodle\'s web service.';
$string['check_extension'] = 'PHP extension';
$string['check_extension_missing'] = 'The PHP extension exam_stream is not loaded. Quizzes work as without this plugin. Install the extension and restart PHP.';
$string['check_extension_ok'] = 'The PHP extension exam_stream {$a} is loaded.';
$string['check_failed'] = 'The check itself failed.';
$string['check_sender'] = 'Delivery';
$string['check_sender_missing'] = '{$a} records wait and no process sends them. Run cron, or the program exam-stream with drain.';
$string['check_sender_ok'] = '{$a} records delivered, none is waiting for long.';
$string['check_sender_old'] = 'The oldest record has not been delivered for {$a}.';
$string['check_sender_quarantined'] = 'The delivery stream refused {$a} records, which are kept in quarantine.';
$string['check_spool'] = 'Spool';
$string['check_spool_fill'] = '{$a} % of the spool is used.';
$string['check_spool_refused'] = '{$a} records were not accepted since the spool was made, because it was full or could not be written.';
$string['check_state_store'] = 'State store';
$string['check_state_store_down'] = 'The state store cannot be asked in time. Answers are streamed, but not brought back.';
$string['check_state_store_ok'] = 'The state store replied within {$a} ms.';
$string['check_state_store_old'] = 'Answers have not reached the state store for {$a}. What is brought back may be old.';
$string['error_directory'] = 'Cannot write to {$a}. Give it to the web server\'s user.';
$string['error_lateanswer'] = 'An answer that came before attempt {$a} was closed cannot be brought in. The attempt was left as it is.';
$string['examstream:configurequiz'] = 'Set whether a quiz streams its answers';
$string['helpdesk_about'] = 'About';
$string['helpdesk_about_nothing'] = 'No particular question';
$string['helpdesk_answer'] = 'Answer from the help desk';
$string['helpdesk_ask'] = 'Ask for help';
$string['helpdesk_calls'] = 'Your calls';
$string['helpdesk_draft'] = 'What do you need? (optional)';
$string['helpdesk_news'] = 'The help desk has answered';
$string['helpdesk_ok'] = 'OK, I have read it';
$string['helpdesk_region'] = 'Help desk';
$string['helpdesk_send'] = 'Send';
$string['helpdesk_setting'] = 'Help desk';
$string['helpdesk_setting_help'] = 'Students can ask for help from the pages of their attempt. The call and its answer go into the stream like everything else. Switch it on where somebody looks after the calls.';
$string['helpdesk_state_answered'] = 'Answered';
$string['helpdesk_state_asked'] = 'Waiting for the help desk';
$string['helpdesk_state_closed'] = 'Closed by the help desk';
$string['helpdesk_state_refused'] = 'This call could not be sent';
$string['helpdesk_state_sending'] = 'Sending…';
$string['helpdesk_state_taken'] = 'Somebody is looking after it';
$string['helpdesk_state_unsent'] = 'Not sent yet. It is kept, and sent as soon as the connection is back.';
$string['helpdesk_state_withdrawn'] = 'Withdrawn';
$string['helpdesk_toomanycalls'] = 'You have asked {$a} times, which is as often as one can in an attempt. Please speak to the person in charge.';
$string['helpdesk_toomanyopen'] = '{$a} of your calls are waiting for an answer. You can ask again when one of them is answered, or when you withdraw one.';
$string['helpdesk_withdraw'] = 'Withdraw';
$string['helpdesk_you'] = 'Your call';
$string['mark_refused'] = 'Cannot be saved as you type';
$string['mark_restored'] = 'Restored';
$string['mark_saved'] = 'Saved';
$string['mark_saving'] = 'Saving…';
$string['mark_unsaved'] = 'Not saved yet';
$string['pluginname'] = 'Exam Stream';
$string['privacy:metadata:answers'] = 'The answers given in the attempt, as they are given.';
$string['privacy:metadata:attempt'] = 'The ids of the attempt, its quiz and its questions.';
$string['privacy:metadata:firehose'] = 'Each answer in a quiz is sent to a delivery stream, from which it is stored for analysis. How long it is kept is set there; it cannot be deleted from Moodle.';
$string['privacy:metadata:help'] = 'Calls for help from the attempt and their answers.';
$string['privacy:metadata:signals'] = 'Signs of the attempt that are switched on: how often its page was hidden, copying and pasting were counted, the connection was lost; a random number of the browser, keyed hashes of the network address and of the browser\'s identification.';
$string['privacy:metadata:statestore'] = 'The latest state of an attempt is kept in a state store, from which answers are brought back when the student returns. It is forgotten after the time that is set there.';
$string['privacy:metadata:student_id'] = 'The id of the student in Moodle. No name, no address.';
$string['privacy:metadata:times'] = 'When each answer was given and received.';
$string['quiz_default'] = 'As the site does ({$a})';
$string['quiz_enabled'] = 'Stream the answers';
$string['quiz_enabled_help'] = 'Each answer is sent to the server within a second of being given, and brought back on whatever device the student continues. Where it is stored is described in the site\'s privacy policy.';
$string['quiz_off'] = 'Nothing is streamed at present: the site administrator has switched it off, or the PHP extension exam_stream is not loaded.';
$string['restored_many'] = '{$a} answers that you had not submitted yet have been restored.';
$string['restored_one'] = 'An answer that you had not submitted yet has been restored.';
$string['setting_aliveseconds'] = 'Signs of life';
$string['setting_aliveseconds_desc'] = 'A page that has no answer to send says after this time that it is there. An attempt without three of them, and at least a minute, counts as silent: its answers are then brought into Moodle\'s database.';
$string['setting_connection'] = 'Connection';
$string['setting_enabled'] = 'Stream answers';
$string['setting_enabled_desc'] = 'If this is off nothing is streamed or brought back, whatever a quiz says.';
$string['setting_limit_desc'] = 'At most {$a}.';
$string['setting_limits'] = 'Limits';
$string['setting_limits_desc'] = 'What a browser sends above these is refused.';
$string['setting_maxbody'] = 'Bytes of a request';
$string['setting_maxfields'] = 'Fields of an answer';
$string['setting_maxrecord'] = 'Bytes of a record';
$string['setting_mode'] = 'Way of the answers';
$string['setting_mode_desc'] = 'put.php costs the server a small part of what the web service costs; a signed token in the page says whose answer it is. The web service checks login and session with each request. A browser that allows only listed addresses (Safe Exam Browser) must allow /local/examstream/put.php, or /lib/ajax/service.php.';
$string['setting_mode_door'] = 'put.php';
$string['setting_mode_ws'] = 'Moodle\'s web service';
$string['setting_quizdefault'] = 'Stream by default';
$string['setting_quizdefault_desc'] = 'What holds for a quiz that says nothing else in its own settings.';
$string['setting_siteid'] = 'Id of this site';
$string['setting_siteid_desc'] = 'Tells this site\'s answers from those of others in the same stream and store. A copy of this site, for tests say, must have another one. Letters, digits, - and _.';
$string['setting_switch_never'] = 'Never, whatever a quiz says';
$string['setting_switch_off'] = 'Off, unless a quiz says otherwise';
$string['setting_switch_on'] = 'On, unless a quiz says otherwise';
$string['setting_switches'] = 'Help desk and signs';
$string['setting_switches_desc'] = 'What is noted is named to the student on the pages of the attempt. What is off is neither collected nor sent nor stored. "Never" holds at once; the others from the next page of an attempt on.';
$string['setting_tokenlife'] = 'Life of a page token';
$string['setting_tokenlife_desc'] = 'How long a page may send answers through put.php without being loaded again. Each page gets a new token; logging out does not end one. In a quiz with a time limit it ends with the attempt.';
$string['signal_summary'] = 'Noted besides your answers: {$a}.';
$string['signaladdress_name'] = 'change of network or browser';
$string['signaladdress_noted'] = 'Whether your network address or your browser changes during the attempt. The address and the name of the browser are not stored, only a code by which a change shows.';
$string['signaladdress_setting'] = 'Note a change of address or browser';
$string['signaladdress_setting_help'] = 'Keyed hashes of the network address and of the browser\'s identification are stored with the signs of life. They tell whether it is another one than before in this attempt, and nothing else. A telephone that leaves the Wi-Fi changes its address too.';
$string['signalclipboard_name'] = 'copying and pasting';
$string['signalclipboard_noted'] = 'How often you copy and paste on these pages. Never what you copy or paste.';
$string['signalclipboard_setting'] = 'Count copying and pasting';
$string['signalclipboard_setting_help'] = 'How often the student copies and pastes on the pages of the attempt, never what. Pasting one\'s own draft counts like any other.';
$string['signalconnection_name'] = 'lost connection';
$string['signalconnection_noted'] = 'How often and for how long your browser is without a connection.';
$string['signalconnection_setting'] = 'Note a lost connection';
$string['signalconnection_setting_help'] = 'How often and for how many seconds the student\'s browser was offline while a page of the attempt was open.';
$string['signaldevice_name'] = 'several devices at once';
$string['signaldevice_noted'] = 'Whether the attempt is open on more than one device or browser at the same time. For this a random number is kept in this browser.';
$string['signaldevice_setting'] = 'Note several devices at once';
$string['signaldevice_setting_help'] = 'The script keeps a random number in the browser, by which two browsers are told apart. A private window is another browser.';
$string['signalhidden_name'] = 'leaving the page';
$string['signalhidden_noted'] = 'How often and for how long this page is hidden, because you turn to another tab, window or program. Not what you look at there.';
$string['signalhidden_setting'] = 'Note that the page is hidden';
$string['signalhidden_setting_help'] = 'How often and for how many seconds the page of the attempt was hidden: another tab or a minimised window, a locked screen. Going on to another page of the attempt does not count.';
$string['task_bring_in_late_answers'] = 'Bring streamed answers into an attempt that was closed without them';
$string['task_fold_silent_attempts'] = 'Bring streamed answers into the attempts of silent students';
$string['task_keep_house'] = 'Renew the keys of page tokens, remove old marks';
$string['test'] = 'Test the connection';
$string['test_accepted'] = 'Accepting';
$string['test_accepted_not'] = 'The spool of this server takes nothing now: it is full, or its directory cannot be written.';
$string['test_accepted_ok'] = 'The spool of this server has accepted a record.';
$string['test_delivered'] = 'Delivery';
$string['test_delivered_not'] = 'The record is accepted and safe, but was not delivered in time.';
$string['test_delivered_ok'] = 'Everything that was accepted has been delivered, after {$a} ms.';
$string['test_desc'] = 'Sends a record that means nothing the way of an answer, and looks after each step.';
$string['test_door'] = 'Door';
$string['test_door_not'] = '{$a->url} replied with HTTP status {$a->status} where a refusal of a missing token (403) was to be expected. Browsers may reach it all the same, if this server cannot reach its own address.';
$string['test_door_ok'] = 'put.php is there and refuses what has no token.';
$string['test_step'] = 'Step';
