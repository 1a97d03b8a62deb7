@local @local_examstream @javascript
Feature: A student asks for help and is answered
  In order to go on when something is wrong with a question
  As a student
  I ask for help without leaving my attempt

  Background:
    Given answers can be streamed
    And the following "users" exist:
      | username | firstname | lastname |
      | teacher  | Ivo       | Teacher  |
      | student  | Ada       | Student  |
    And the following "courses" exist:
      | fullname | shortname |
      | Course 1 | C1        |
    And the following "course enrolments" exist:
      | user    | course | role           |
      | teacher | C1     | editingteacher |
      | student | C1     | student        |
    And the following "activities" exist:
      | activity | name   | course | idnumber |
      | quiz     | Quiz 1 | C1     | quiz1    |
    And the following "question categories" exist:
      | contextlevel | reference | name           |
      | Course       | C1        | Test questions |
    And the following "questions" exist:
      | questioncategory | qtype     | name | questiontext |
      | Test questions   | truefalse | TF1  | First        |
      | Test questions   | truefalse | TF2  | Second       |
    And quiz "Quiz 1" contains the following questions:
      | question | page |
      | TF1      | 1    |
      | TF2      | 2    |
    And "helpdesk" is switched on in the quiz "Quiz 1"

  Scenario: A call is answered on the board, and the answer is there on another page of the attempt
    Given I am on the "Quiz 1" "mod_quiz > View" page logged in as student
    And I press "Attempt quiz"
    And I press "Ask for help"
    And I set the field "About" to "Question 1"
    And I set the field "What do you need? (optional)" to "Is <b>this</b> all?"
    When I press "Send"
    Then I should see "Waiting for the help desk"
    And I should see "Is <b>this</b> all?"
    And I log out
    And I am on the "Quiz 1" "local_examstream > Board" page logged in as teacher
    And I click on "#local-examstream-tab-help" "css_element"
    And I should see "Ada Student"
    And I should see "Is <b>this</b> all?"
    And I click on "Answer" "button" in the ".local-examstream-queued" "css_element"
    And I set the field "Your answer" to "It is all."
    And I press "Send to the student"
    And I should see "Answered" in the ".local-examstream-queued" "css_element"
    And I log out
    And I am on the "Quiz 1" "mod_quiz > View" page logged in as student
    And I press "Continue your attempt"
    And I press "Next page"
    And I should see "The help desk has answered"
    And I should see "It is all."
    And I press "OK, I have read it"
    And I should not see "It is all."

  Scenario: A call that is no longer needed is withdrawn
    Given I am on the "Quiz 1" "mod_quiz > View" page logged in as student
    And I press "Attempt quiz"
    And I press "Ask for help"
    And I press "Send"
    And I should see "Waiting for the help desk"
    When I press "Withdraw"
    Then I should see "Withdrawn"
    And I should not see "Waiting for the help desk"
