"""Rules and words that the dialogues of `tsadmin` share, or that stand by themselves: passwords, pagers, "press Enter". Pure data."""

from __future__ import annotations

from tscm_migrate.appliance.prompts import YES, Rule
from tscm_migrate.appliance.question import vocabulary

# A bare "Proceed?" is answered only where the lines right before it speak of what we started.
RESTORING = r"restor|backup|archive|device|tsbak|configuration|firewall|recover|settings"
# …and only where it says nothing else: a word that is not here makes it a question that nobody knows.
PLAIN_WORDS = vocabulary(
    "a absolutely all already also an and anyway any archive archived are as at back backed backup backups be been "
    "before begin but can cannot carry caution change changed changes chosen client config configuration configurations "
    "configured confirm confirmation certain contents continue continuing correct current currently data database "
    "databases device devices do does don't drop else entries entry erase exist existing exists file "
    "files firewall firewalls following for found from get gets go going ahead has have here i if in into is it "
    "its list local lose lost machine may might moment must my not note notice now of ok okay old on "
    "operation or other our over overwrite overwriting overwritten perform policies policy present "
    "previous proceed process question ready really recover recovery replace replaced replacing "
    "restoration restore restored restoring right s same saved select selected set settings should shall "
    "start starting sure system target tscm tsadmin that the their them there these they this those "
    "threatstop to undone up use used version want warning was we were will wish with without would y yes "
    "n no you your permanently irreversible appliance host server box name named one ones like type enter "
    "press some more than manager centralized could action what well both each every only again still which who when where "
    "how know known knows by key stop stops abort aborts cancel cancels quit latest newest recent installed about taken "
    "made created utc ensure make offline came original source avoid conflicts conflict contention"
)

SUDO = Rule(
    "sudo-password",
    # a user's name stands behind "for", no archive's
    r"\[sudo\]|sudo.*password|^\W*password for (?!(?:backups?|archives?|gpg|(?:en|de)cryption|restore|files?|threatstop_\S+|\S+\.tsbak\S*)\W)\w[\w.-]*\s*:",
    "@sudo",
    kind="secret",
    alone=True,
    # each call may ask (timestamp_timeout=0); its own "try again", in the tongues that it has most often
    times=200,
    refused=r"\b(?:try\s+again|incorrect|failure|denied|nochmal|erneut|r[ée]essayez|de\s+nuevo|riprova|opnieuw)\b",
)
PASSPHRASE = Rule(
    "passphrase",
    r"pass\s*-?(?:ph?rase|phase)|password|\bsecret\b|pass\s*word|key\s*phrase|decryption\s+key|encryption\s+key|\bpasscode|"
    r"\bkey\s+to\s+(?:decrypt|open|unlock)|\bunlock(?:ing)?\s+(?:code|word|key)\b",
    "@passphrase",
    kind="secret",
    times=4,
    # any other password is not ours to give, least of all to what may be a form of somebody's portal
    foreign=r"\b(?:portal|accounts?|user\w*|log-?in|root|admin\w*|devices?|firewall|ldap|mysql|sql|proxy|mail|smtp|wi-?fi|"
    r"snmp|tacacs|radius|cisco|api|web|gui|ssh|bios|grub|private\s+key|key\s*file|hint|remember|store|old|previous|"
    r"wallet|token|vpn|cloud|customer|email)\b",
)
AGAIN = Rule(  # a repetition need not name what it repeats, but it follows at once
    "passphrase", r"\b(?:again|once\s+more|once\s+again|repeat\w*|re-?type|re-?enter|confirm\w*|verif\w+|second\s+time|another\s+time|"
    r"same)\b", "@passphrase", kind="secret", times=4, after="passphrase",
    only=vocabulary(
        "and again once more repeat repeated it re-type retype reenter re-enter confirm confirmation verify verification for the "
        "safety sake of to be sure second time another same please enter type that this your a in one value entry input now "
        "repetition check just let us make verifying confirming here as before must match both"
    ),
)  # fmt: skip
INTERFACE = Rule("interface", r"\binterface\b|\bnic\b|\badapter\b", "@interface", kind="text")
ENTER = Rule(
    "enter",
    r"\b(?:press|hit|strike|push)\b.{0,24}\b(?:enter|return|(?:any|a)\s+key|space(?:\s*bar)?|<enter>|key)\b\W*"
    r"(?:$|.*\b(?:continu\w*|proceed|begin|start|go\s+on|carry\s+on|resume|re-?boot|restart|exit|finish|quit|close|next|"
    r"more|restor\w+|ready|done)\b)"
    r"|\b(?:continu\w*|proceed|go\s+on|carry\s+on)\W{1,3}(?:enter|return)\b",
    "",
    kind="enter",
    times=8,
    alone=True,
    foreign=r"\b(?:accept|default|keep|current|skip|confirm|yes)\b|\b(?:enter|return|key|space)\W+to\s+(?:cancel|abort|stop|undo)\b|"
    r"\bto\s+(?:quit|exit)\b.*\bto\b",
)
MORE = Rule(  # a halt in a long list: a space goes on by a page, also in those that wait for any key
    "more",
    r"^\W*(?:-+\s*more\s*-+|more\s*\(|lines\s+\d+-\d+)|^\W*more\W*$|\bspace\b.*\b(?:more|page)\b|\bmore\b.*\bspace\b",
    " ",
    kind="enter",
    times=2000,
    alone=True,
    foreign=r"\by(?:es)?\s*/\s*n",
    only=vocabulary(
        "more line lines page next space bar spacebar return enter key any press hit for to of the and or see rest list show "
        "q quit stop end exit is not go on continue a h help previous b back"
    ),
)
FILE_NAME = Rule(  # Enter takes the offered name where it is a documented one: an archive of any other is not found again
    "file-name",
    r"\bname\b.*[\[(<]\W*(?:default\W+)?(?:/\S*/)?threatstop_backup_\d{4}-\d\d-\d\d_\d\d_\d\d_\d\d\.tsbak(?:\.gpg)?\s*[\])>]\W*$",
    "",
    kind="enter",
    alone=True,
)
UNDER_WAY = Rule(  # only where a pass of this very run has begun it: anybody else's would restore something else
    "under-way",
    r"(?=.*\b(?:restore|restoration|recovery)\b)(?=.*\b(?:in\s+progress|under\s*way|unfinished|interrupted|incomplete|pending|begun|started|"
    r"waiting|not\s+(?:finished|complete|over))\b).*\b(?:continue|resume|go\s+on|carry\s+on|finish|complete|proceed)\b"
    r"|\b(?:continue|resume|carry\s+on\s+with|finish|complete)\b.*\b(?:restore|restoration|recovery)\b",
    YES, bare=True, alone=True,
    foreign=r"\b(?:new|another|instead|over\s+again|afresh|restart|scratch)\b",
    only=PLAIN_WORDS | vocabulary(
        "progress under way underway unfinished interrupted incomplete finished complete pending begun started waiting resume carry "
        "finish phase part pass step stage second two first after reboot since last earlier until yet"
    ),
)  # fmt: skip
